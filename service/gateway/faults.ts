import { httpStatus, type ServiceError } from '../platform/errors.ts';

/** Why a model call gave no usable answer, closed. Stored in `model_call.error_code`. */
export const faultCodes = [
  'invalid_request',
  'model_not_allowed',
  'body_too_large',
  'call_limit_reached',
  'loop_detected',
  'budget_held',
  'too_much_at_once',
  'token_ended',
  'task_stopped',
  'upstream_incomplete',
  'upstream_malformed',
  'upstream_not_a_stream',
  'upstream_silent',
  'upstream_too_long',
  'upstream_error',
  'upstream_refused',
  'upstream_credentials',
  'upstream_payment',
  'upstream_slow_down',
  'upstream_failed',
  'upstream_unreachable',
  'upstream_open',
  'upstream_no_model',
  'internal',
] as const;
export type FaultCode = (typeof faultCodes)[number];

/**
 * A model call that failed, as the harness is told.
 *
 * Status   what is answered while nothing was sent yet; inside a stream the same text goes out as an error chunk.
 * Trap     OpenCode 1.18 tries again by status (408, 409, 429, 5xx) and by words in the text or the body, a `500` inside
 *          an id included. So texts of faults that must end the turn hold no numbers and pass `endsTheTurn`.
 */
export class ModelFault extends Error {
  readonly status: number;
  readonly code: FaultCode;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    options: { retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ModelFault';
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/**
 * 424 Failed Dependency: the one 4xx that says "whom I asked failed". OpenCode fails at once on it, where a 502 or 504
 * would cost six calls and a minute.
 */
const failedDependency = 424;

type UpstreamFault = Extract<FaultCode, `upstream_${string}` | 'task_stopped'>;
type Once = Exclude<
  UpstreamFault,
  | 'upstream_refused'
  | 'upstream_slow_down'
  | 'upstream_failed'
  | 'upstream_unreachable'
  | 'upstream_payment'
  | 'upstream_no_model'
>;

const onceTexts: Readonly<Record<Once, string>> = {
  upstream_incomplete: 'The model provider ended its answer before it was complete.',
  upstream_malformed: 'The model provider sent an answer that cannot be read.',
  upstream_not_a_stream:
    'The model provider answered with something that is no model answer. Check the configured upstream URL.',
  upstream_silent: 'The model provider gave no sign of life for too long, so the call was ended.',
  upstream_too_long: 'The model provider kept answering for longer than one call may take, so the call was ended.',
  upstream_error: 'The model provider reported a fault in the middle of its answer.',
  upstream_credentials:
    'The model provider does not accept the key of this service. Ask its administrator to check the configured key.',
  upstream_open:
    'The model provider failed several times in a row, so it is left alone for a while and this call was not made.',
  task_stopped: 'The task was stopped, so its model call was ended.',
};

/** A fault after which the harness must give up at once. */
export const endedTurn = (code: Once, cause?: unknown): ModelFault =>
  new ModelFault(failedDependency, code, onceTexts[code], { cause });

export const upstreamUnreachable = (cause: unknown): ModelFault =>
  new ModelFault(
    503,
    'upstream_unreachable',
    'The model provider cannot be reached from the service. Check its network and the configured upstream URL.',
    { cause },
  );

/** What another try may mend, as it is told once no try is left. */
const lastTexts: Partial<Readonly<Record<FaultCode, string>>> = {
  upstream_slow_down: 'The model provider asks to slow down, and still did after the call had waited for it.',
  upstream_failed: 'The model provider failed, also when it was asked once more.',
};

/** The same fault where the gateway has tried all it may: the harness gives up at once. */
export const lastTry = (fault: ModelFault): ModelFault =>
  fault.status === 429 || fault.status >= 500
    ? new ModelFault(failedDependency, fault.code, lastTexts[fault.code] ?? fault.message, { cause: fault.cause })
    : fault;

/** No call is made for this attempt any more; the words for the person stand with the task. */
export const halted = (reason: 'BudgetExceeded' | 'LoopDetected'): ModelFault =>
  reason === 'LoopDetected'
    ? new ModelFault(402, 'loop_detected', 'LoopDetected: the agent goes round in circles, so its attempt was halted.')
    : new ModelFault(
        402,
        'call_limit_reached',
        'BudgetExceeded: this attempt may make no more model calls, by their number or by what they cost.',
      );

export const budgetHeld = (): ModelFault =>
  new ModelFault(
    429,
    'budget_held',
    'What is left of a budget is held for calls that are still open. Wait until they have ended.',
    { retryAfterSeconds: 5 },
  );

export const tooMuchAtOnce = (): ModelFault =>
  new ModelFault(
    429,
    'too_much_at_once',
    'This task has as many model calls open as one task may. Wait until some have ended.',
    { retryAfterSeconds: 5 },
  );

export const tokenEnded = (): ModelFault =>
  new ModelFault(401, 'token_ended', 'The token of this task has ended, so no model call is made for it.');

export const bodyTooLarge = (): ModelFault =>
  new ModelFault(413, 'body_too_large', 'The request is larger than the gateway takes. Shorten the conversation.');

export const invalidRequest = (why: string): ModelFault =>
  new ModelFault(400, 'invalid_request', `The request is no chat completion: ${why}.`);

export const fromServiceError = (error: ServiceError): ModelFault =>
  new ModelFault(
    httpStatus[error.kind],
    error.code === 'model_not_allowed' || error.code === 'model_unpriced' ? 'model_not_allowed' : 'internal',
    error.message,
    { cause: error },
  );

export const internalFault = (cause: unknown): ModelFault =>
  new ModelFault(500, 'internal', 'The gateway broke. The log of the service says why.', { cause });

/** OpenAI's shape; nothing in it comes from the provider unless `message` does. */
export const faultBody = (fault: ModelFault): string =>
  JSON.stringify({ error: { message: fault.message, type: 'outrigger_gateway', param: null, code: fault.code } });

/** The same inside a stream. `[DONE]` ends it for clients that wait for that. */
export const faultEvents = (fault: ModelFault): string => `data: ${faultBody(fault)}\n\ndata: [DONE]\n\n`;

/**
 * Words that make OpenCode try again whatever the status says.
 *
 * Source: the retry table of opencode-ai 1.18.33, read from the program; re-check on upgrade.
 */
const retryWords: readonly RegExp[] = [
  /429|500|502|503|504|524/,
  /rate increased too quickly|rate[ _-]limit|too many requests|too_many_requests/i,
  /overloaded|unavailable|exhausted/i,
  /internal[ _]error|server[ _-]error|provider[ _-]returned[ _-]error/i,
  /terminated|fetch failed|failed to fetch|network[-_\s]error|upstream connect|socket|getaddrinfo|enotfound|eai_again|etimedout/i,
  /connection (error|refused|lost)|econn(refused|reset)|reset before headers/i,
  /^timeout$|\b(request|response|connection|network|stream|read) (timeout|timed out|time out)\b/i,
  /try your request again|retry your request|try again (later|in\b)|at capacity\b/i,
];

/** Whether OpenCode gives up at once when it reads this text in an error that its status does not make retryable. */
export const endsTheTurn = (text: string): boolean => !retryWords.some((pattern) => pattern.test(text));
