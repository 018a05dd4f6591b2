import { faultOf, mediaTypeOf } from './check-answer.ts';
import { CoderError, kindOf, type CoderValidation } from './coder-error.ts';

/** One call, for whoever keeps account of calls: the route's template, never a filled-in URL, query or body. */
export interface CallReport {
  readonly method: string;
  readonly route: string;
  readonly pathParameters: Readonly<Record<string, string>>;
  /** Null when no answer came. */
  readonly status: number | null;
  readonly durationMs: number;
  readonly error?: CoderError;
}

export type CallIntent = Pick<CallReport, 'method' | 'route' | 'pathParameters'>;

export interface TransportOptions {
  readonly url: string;
  /** How long one call may take, its body included. */
  readonly timeoutMs: number;
  readonly fetch?: typeof globalThis.fetch;
  /** Runs before the request is sent; what it throws keeps the request from being sent. */
  readonly beforeCall?: (intent: CallIntent) => void | Promise<void>;
  /** Runs after every call, whatever became of it. */
  readonly onCall?: (report: CallReport) => void | Promise<void>;
}

export type Fetch = (request: Request) => Promise<Response>;

/**
 * Performs one call with the account kept, the deadline held and the answer checked.
 *
 * `perform` gets the fetch to use; it throws a `CoderError` for anything but a fitting success.
 */
export async function callCoder<Data>(
  options: TransportOptions,
  intent: CallIntent,
  perform: (fetch: Fetch) => Promise<{ readonly data?: Data }>,
): Promise<Data> {
  await options.beforeCall?.(intent);
  const startedAt = performance.now();
  let status: number | null = null;
  let failure: CoderError | undefined;
  try {
    const { data } = await perform(async (request) => {
      const answer = await fetchBytes(options, intent, request);
      status = answer.response.status;
      return readAnswer(options, intent, answer);
    });
    return data as Data;
  } catch (error) {
    failure = error instanceof CoderError ? error : unreachable(options, intent, error);
    throw failure;
  } finally {
    const durationMs = Math.round(performance.now() - startedAt);
    await options.onCall?.({ ...intent, status, durationMs, ...(failure ? { error: failure } : {}) });
  }
}

interface Answer {
  readonly response: Response;
  readonly bytes: ArrayBuffer;
}

async function fetchBytes(options: TransportOptions, intent: CallIntent, request: Request): Promise<Answer> {
  const fetch = options.fetch ?? globalThis.fetch;
  const deadline = AbortSignal.timeout(options.timeoutMs);
  try {
    const response = await fetch(request, { redirect: 'manual', signal: deadline });
    return { response, bytes: await response.arrayBuffer() };
  } catch (error) {
    if (!deadline.aborted) throw unreachable(options, intent, error);
    throw new CoderError(
      'timeout',
      0,
      `Coder at ${options.url} did not answer ${nameOf(intent)} within ${options.timeoutMs} ms. Check that it is up, or raise coder.timeout.`,
      { cause: error },
    );
  }
}

/** Turns an answer into one that openapi-fetch may parse, or throws. */
function readAnswer(options: TransportOptions, intent: CallIntent, { response, bytes }: Answer): Response {
  const { status } = response;
  if (status >= 300 && status < 400)
    throw unexpected(options, intent, status, 'a redirect came back. CODER_URL must be the access URL itself');
  const type = response.headers.get('content-type') ?? '';
  const text = type.includes('json') ? new TextDecoder().decode(bytes) : '';
  const body = parseJson(text);
  if (status >= 400) throw refused(options, intent, response, type, body);
  const wanted = mediaTypeOf(intent.method, intent.route, status) ?? 'application/json';
  if (wanted !== 'application/json') {
    if (!type.startsWith(wanted))
      throw unexpected(options, intent, status, `the body is ${type || 'untyped'}, not ${wanted}`);
    return new Response(bytes, { status, headers: { 'content-type': wanted } });
  }
  if (body === undefined) throw unexpected(options, intent, status, `the body is ${type || 'untyped'}, not JSON`);
  const fault = faultOf(intent.method, intent.route, status, body);
  if (fault !== null) throw unexpected(options, intent, status, `at ${fault}`);
  return new Response(text, { status, headers: { 'content-type': 'application/json' } });
}

function refused(
  options: TransportOptions,
  intent: CallIntent,
  response: Response,
  type: string,
  body: unknown,
): CoderError {
  const { status } = response;
  if (type.includes('html') && status < 500)
    return unexpected(options, intent, status, 'an HTML page came back. Is CODER_URL a Coder?');
  const { message, detail, validations } = asMessage(body);
  const said = message === null ? `status ${status}` : `${status}: ${message}`;
  return new CoderError(kindOf(status, detail), status, `Coder refused ${nameOf(intent)} with ${said}`, {
    detail,
    validations,
    retryAfterSeconds: positiveInteger(response.headers.get('retry-after')),
  });
}

function asMessage(body: unknown): {
  readonly message: string | null;
  readonly detail: string | null;
  readonly validations: readonly CoderValidation[];
} {
  const fields = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const list: readonly unknown[] = Array.isArray(fields['validations']) ? fields['validations'] : [];
  const validations = list.flatMap((one) => {
    const { field, detail } = (one ?? {}) as { field?: unknown; detail?: unknown };
    return typeof field === 'string' && typeof detail === 'string' ? [{ field, detail }] : [];
  });
  return { message: text(fields['message']), detail: text(fields['detail']), validations };
}

function unexpected(options: TransportOptions, intent: CallIntent, status: number, what: string): CoderError {
  return new CoderError(
    'unexpected_answer',
    status,
    `Coder at ${options.url} answered ${nameOf(intent)} with something we do not understand: ${what}.`,
  );
}

function unreachable(options: TransportOptions, intent: CallIntent, cause: unknown): CoderError {
  return new CoderError(
    'unreachable',
    0,
    `Coder at ${options.url} could not be reached for ${nameOf(intent)}. Check the URL and the network.`,
    { cause },
  );
}

const nameOf = (intent: CallIntent): string => `${intent.method} ${intent.route}`;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function positiveInteger(text: string | null): number | undefined {
  const value = Number(text);
  return text !== null && Number.isInteger(value) && value > 0 ? value : undefined;
}
