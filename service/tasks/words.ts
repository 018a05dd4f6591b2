import type { Reason, TaskOutcome, TaskState } from '../../modules/contract.ts';

/** The words of kubeopencode for where a task stands; imports and compatibility routes speak them. */
export const phases = ['Pending', 'Queued', 'Running', 'Completed', 'Failed', 'Stopped', 'TimedOut'] as const;
export type Phase = (typeof phases)[number];

const ofState: Readonly<Record<Exclude<TaskState, 'finished'>, Phase>> = {
  blocked: 'Pending',
  queued: 'Queued',
  starting: 'Pending',
  running: 'Running',
  waiting: 'Running',
  parked: 'Pending',
  stopping: 'Running',
};

const ofOutcome: Readonly<Record<TaskOutcome, Phase>> = {
  succeeded: 'Completed',
  no_change: 'Completed',
  failed: 'Failed',
  stopped: 'Stopped',
  canceled: 'Stopped',
  timed_out: 'TimedOut',
};

interface Stand {
  readonly state: TaskState;
  readonly outcome: TaskOutcome | null;
  readonly reason: Reason | null;
}

export const phaseOf = ({ state, outcome }: Pick<Stand, 'state' | 'outcome'>): Phase =>
  state === 'finished' ? ofOutcome[outcome ?? 'failed'] : ofState[state];

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
