import type { Reason, TaskOutcome, TaskState } from '../../modules/contract.ts';

/** The words of kubeopencode for where a task stands; imports and compatibility routes speak them. */
export const phases = ['Pending', 'Queued', 'Running', 'Completed', 'Failed', 'Stopped', 'TimedOut'] as const;
export type Phase = (typeof phases)[number];

/** Coder's words for what an app of a workspace does. */
export const appStatuses = ['working', 'idle', 'complete', 'failure'] as const;
export type AppStatus = (typeof appStatuses)[number];

type Words = readonly [Phase, AppStatus];

const ofState: Readonly<Record<Exclude<TaskState, 'finished'>, Words>> = {
  blocked: ['Pending', 'idle'],
  queued: ['Queued', 'idle'],
  starting: ['Pending', 'working'],
  running: ['Running', 'working'],
  waiting: ['Running', 'idle'],
  parked: ['Pending', 'idle'],
  stopping: ['Running', 'working'],
};

const ofOutcome: Readonly<Record<TaskOutcome, Words>> = {
  succeeded: ['Completed', 'complete'],
  no_change: ['Completed', 'complete'],
  failed: ['Failed', 'failure'],
  stopped: ['Stopped', 'idle'],
  canceled: ['Stopped', 'idle'],
  timed_out: ['TimedOut', 'failure'],
};

interface Stand {
  readonly state: TaskState;
  readonly outcome: TaskOutcome | null;
  readonly reason: Reason | null;
}

type Where = Pick<Stand, 'state' | 'outcome'>;

const wordsOf = ({ state, outcome }: Where): Words =>
  state === 'finished' ? ofOutcome[outcome ?? 'failed'] : ofState[state];

export const phaseOf = (where: Where): Phase => wordsOf(where)[0];
export const appStatusOf = (where: Where): AppStatus => wordsOf(where)[1];

/** Failures of what a task needs before any agent can begin. */
const prerequisites: readonly Reason[] = ['ContextError', 'DelegationMissing', 'WorkspaceStopped', 'AgentSuspended'];

const codes: Readonly<Record<TaskOutcome, number>> = {
  succeeded: 0,
  no_change: 0,
  failed: 1,
  timed_out: 124,
  stopped: 143,
  canceled: 143,
};

/** What a program exits with that waited for the task: 2 where a prerequisite was missing; null before the end. */
export function exitCodeOf({ outcome, reason }: Pick<Stand, 'outcome' | 'reason'>): number | null {
  if (outcome === null) return null;
  return outcome === 'failed' && reason !== null && prerequisites.includes(reason) ? 2 : codes[outcome];
}
