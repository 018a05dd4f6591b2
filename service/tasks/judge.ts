import type { Evidence, Reason, TaskOutcome } from '../../modules/contract.ts';

/** What an attempt came to, and whether trying again can help. */
export interface Verdict {
  readonly outcome: Exclude<TaskOutcome, 'canceled'>;
  readonly reason: Reason | null;
  /** One sentence for the person; never the provider's own text. */
  readonly message: string | null;
  readonly retryable: boolean;
}

export interface Judged {
  readonly evidence: Evidence;
  /** Why somebody or a limit asked for the end, if so. */
  readonly stopReason: Reason | null;
  /** Whether the submitter asked for a verify command. */
  readonly isVerifyAsked: boolean;
}

type Rule = (judged: Judged) => Verdict | null;

const failed = (reason: Reason, message: string, retryable = false): Verdict => ({
  outcome: 'failed',
  reason,
  message,
  retryable,
});

/** HTTP statuses of a provider that the same call will meet again. */
const lastingStatuses: readonly number[] = [400, 401, 402, 403, 404, 413, 422];

/** Read from top to bottom; the first rule that speaks decides. */
const rules: readonly (readonly [name: string, rule: Rule])[] = [
  [
    'stopped on request, unless its turn had ended by itself before',
    ({ evidence, stopReason }) =>
      stopReason && (evidence.stop || !endedByItself(evidence)) ? judgeStop(evidence, stopReason) : null,
  ],
  [
    'the bridge could not do its part',
    ({ evidence: { failure } }) => failure && failed(failure.reason, failure.message, failure.retryable),
  ],
  [
    'the harness said nothing',
    ({ evidence }) =>
      evidence.last_message ? null : failed('AgentError', 'The harness ended without a message.', true),
  ],
  ['the harness reported an error', ({ evidence }) => judgeError(evidence)],
  [
    'the answer was cut off',
    ({ evidence }) =>
      evidence.last_message?.finish === 'length'
        ? failed('Truncated', 'The model ran into its output limit before it was done.')
        : null,
  ],
  [
    'it asked a question',
    ({ evidence }) =>
      endedByQuestion(evidence)
        ? failed(
            'QuestionAsked',
            'The agent asked a question, and nobody answers one. Say in the prompt what it needs.',
          )
        : null,
  ],
  [
    'the turn never ended',
    ({ evidence }) =>
      evidence.last_message?.finish === 'stop'
        ? null
        : failed('AgentError', 'The harness was interrupted before its turn ended.', true),
  ],
  ['the command of the agent failed', ({ evidence: { command } }) => (command ? judgeCommand(command) : null)],
  [
    'the verify command was refused',
    ({ evidence }) =>
      evidence.verify_rejected ? failed('ApprovalRejected', 'The verify command was not allowed to run.') : null,
  ],
  [
    'the verify command failed',
    ({ evidence: { verify } }) =>
      verify && (verify.timed_out || verify.exit !== 0)
        ? failed(
            'VerifyFailed',
            verify.timed_out ? 'The verify command ran out of time.' : `The verify command exited with ${verify.exit}.`,
          )
        : null,
  ],
  [
    'the verify command did not run',
    ({ evidence, isVerifyAsked }) =>
      isVerifyAsked && evidence.verify === null ? failed('VerifyFailed', 'The verify command did not run.') : null,
  ],
  [
    'the work was not committed',
    ({ evidence }) =>
      evidence.diff.files > 0 && evidence.commit === null
        ? failed('AgentError', 'Files were changed, but nothing was committed.')
        : null,
  ],
  [
    'something was refused and nothing proves the work is whole',
    ({ evidence }) =>
      evidence.rejected_asks > 0 && evidence.verify === null
        ? failed('ApprovalRejected', 'The agent was refused something it asked for.')
        : null,
  ],
  [
    'nothing changed',
    ({ evidence }) =>
      evidence.diff.files === 0 && !hasTouched(evidence) && evidence.command === undefined
        ? { outcome: 'no_change', reason: null, message: null, retryable: false }
        : null,
  ],
];

/**
 * Decides an outcome from evidence: the last message, tool exits, the diff, the verify command. Exit codes of
 * the harness and HTTP statuses of its server are no evidence: it exits 0 on failure.
 */
export function judge(judged: Judged): Verdict {
  for (const [, rule] of rules) {
    const verdict = rule(judged);
    if (verdict) return verdict;
  }
  return { outcome: 'succeeded', reason: null, message: null, retryable: false };
}

/** A read is all that was asked for where an agent of the service reports one. */
const hasTouched = ({ objects = [] }: Evidence): boolean => objects.some(({ result }) => result !== 'unchanged');

const endedByItself = (evidence: Evidence): boolean =>
  evidence.failure === null && evidence.last_message?.finish === 'stop';

/** The harness leaves a turn whose question was rejected without an end. Source: `question-rejected` of the recordings. */
function endedByQuestion({ last_message: last, tool_exits: tools }: Evidence): boolean {
  const tool = tools.at(-1);
  return last?.finish === 'tool-calls' && tool?.tool === 'question' && tool.status === 'error';
}

function judgeStop(evidence: Evidence, stopReason: Reason): Verdict {
  if (!evidence.stop || evidence.stop.processes_left > 0 || evidence.stop.tokens_after_stop > 0)
    return failed('StopUnproven', 'The task was told to stop, but nothing proves that all of it ended.');
  return stopReason === 'Timeout'
    ? { outcome: 'timed_out', reason: 'Timeout', message: 'The task ran out of time.', retryable: false }
    : { outcome: 'stopped', reason: stopReason, message: null, retryable: false };
}

function judgeCommand({ exit, timed_out: isLate }: NonNullable<Evidence['command']>): Verdict | null {
  if (isLate) return failed('Timeout', 'The command ran out of time.');
  if (exit === 0) return null;
  return failed('AgentError', exit === null ? 'A signal ended the command.' : `The command exited with ${exit}.`);
}

function judgeError(evidence: Evidence): Verdict | null {
  const error = evidence.last_message?.error;
  if (!error) return null;
  switch (error.name) {
    case 'MessageAbortedError':
      return failed('AgentError', 'The turn was aborted by something other than us.', true);
    case 'ContextOverflowError':
      return failed('ContextError', 'The conversation no longer fits the model.');
    case 'MessageOutputLengthError':
      return failed('Truncated', 'The model ran into its output limit before it was done.');
    case 'ProviderAuthError':
      return failed('UpstreamError', 'The model provider refused our credentials.');
    default:
      return failed(
        'UpstreamError',
        `The model call failed (${error.name}${error.status_code ? `, HTTP ${error.status_code}` : ''}).`,
        error.status_code === undefined || !lastingStatuses.includes(error.status_code),
      );
  }
}
