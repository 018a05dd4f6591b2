import type { Evidence, TaskOutcome } from '../../modules/contract.ts';

/** One fact behind an outcome, for a person. */
export interface OutcomeFact {
  readonly kind:
    | 'stop'
    | 'failure'
    | 'last_message'
    | 'tools'
    | 'asks'
    | 'command'
    | 'verify'
    | 'verify_refused'
    | 'diff'
    | 'commit'
    | 'objects';
  /** How the fact stands to the outcome: a happy last message contradicts a task whose verify command failed. */
  readonly says: 'supports' | 'contradicts' | 'neither';
  /** One sentence; never the words of a model, a tool or a provider. */
  readonly text: string;
}

/** Whether the fact speaks for work that is done; null: neither way. */
type Claim = readonly [kind: OutcomeFact['kind'], isDone: boolean | null, text: string];

const count = (many: number, noun: string, plural = `${noun}s`): string => `${many} ${many === 1 ? noun : plural}`;

/** In the order in which `judge` reads them: what it decided by stands before what it did not need any more. */
const readers: readonly ((evidence: Evidence) => Claim | null)[] = [
  ({ stop }) =>
    stop && [
      'stop',
      false,
      `Ended by ${stop.method}: ${count(stop.processes_left, 'process', 'processes')} left, ${count(stop.tokens_after_stop, 'token')} after it.`,
    ],
  ({ failure }) => failure && ['failure', false, `The attempt could not be carried through (${failure.reason}).`],
  readLastMessage,
  ({ tool_exits: tools }) => {
    const unwell = tools.filter(({ status, exit }) => status !== 'completed' || (exit ?? 0) !== 0).length;
    return tools.length === 0
      ? null
      : ['tools', null, `${count(tools.length, 'tool call')}, ${unwell} without success.`];
  },
  ({ command }) =>
    command
      ? [
          'command',
          !command.timed_out && command.exit === 0,
          command.timed_out
            ? 'The command ran out of time.'
            : command.exit === null
              ? 'A signal ended the command.'
              : `The command exited with ${command.exit}.`,
        ]
      : null,
  ({ verify_rejected: isRejected }) =>
    isRejected ? ['verify_refused', false, 'The verify command was not allowed to run.'] : null,
  ({ verify }) =>
    verify && [
      'verify',
      !verify.timed_out && verify.exit === 0,
      verify.timed_out ? 'The verify command ran out of time.' : `The verify command exited with ${verify.exit}.`,
    ],
  ({ diff }) =>
    diff.files === 0
      ? ['diff', null, 'No file changed.']
      : ['diff', true, `${count(diff.files, 'file')} changed: +${diff.additions} −${diff.deletions} lines.`],
  ({ commit, diff }) =>
    commit !== null
      ? ['commit', true, `Committed as ${commit}.`]
      : diff.files > 0
        ? ['commit', false, 'The changes were not committed.']
        : null,
  ({ rejected_asks: rejected, verify_rejected: isVerify }) =>
    rejected - Number(isVerify) > 0
      ? ['asks', false, `${count(rejected - Number(isVerify), 'request')} of the agent refused.`]
      : null,
  ({ objects = [] }) =>
    objects.length === 0
      ? null
      : ['objects', true, `${count(objects.length, 'object')} of the infrastructure reported.`],
];

function readLastMessage({ last_message: last, failure }: Evidence): Claim | null {
  if (last === null) return failure === null ? ['last_message', false, 'The harness left no last message.'] : null;
  if (last.error) {
    const status = last.error.status_code === undefined ? '' : `, HTTP ${last.error.status_code}`;
    return ['last_message', false, `The last message ended in an error (${last.error.name}${status}).`];
  }
  if (last.finish === 'stop') return ['last_message', true, 'The agent ended its turn by itself.'];
  return [
    'last_message',
    false,
    `The last message has ${last.finish === null ? 'no end' : `the end “${last.finish}”`}.`,
  ];
}

/** Why an outcome is what it is, fact by fact; empty while there is no outcome, and where nothing ran. */
export function outcomeEvidence(evidence: Evidence | null, outcome: TaskOutcome | null): readonly OutcomeFact[] {
  if (evidence === null || outcome === null) return [];
  const isDone = outcome === 'succeeded' || outcome === 'no_change';
  const claims = readers.flatMap((read) => {
    const claim = read(evidence);
    return claim === null ? [] : [claim];
  });
  return claims.map(([kind, claim, text]) => ({
    kind,
    says: claim === null ? 'neither' : claim === isDone ? 'supports' : 'contradicts',
    text,
  }));
}
