import type { JobEnd, Transition } from './world.ts';

/**
 * How long the stages of a build take, each after the one before it.
 *
 * job     pending → running → succeeded | failed | canceled
 * agent   connecting → connected (created) → starting → ready, once a start has succeeded
 *
 * `Infinity` keeps a build in the stage before.
 */
export interface BuildTiming {
  readonly pendingMs: number;
  readonly runningMs: number;
  readonly connectMs: number;
  readonly readyMs: number;
}

/** Fast, but every stage is passed. */
export const instant: BuildTiming = { pendingMs: 5, runningMs: 15, connectMs: 5, readyMs: 5 };

/** About what a real deployment with Docker needs. */
export const realistic: BuildTiming = { pendingMs: 200, runningMs: 2_800, connectMs: 240, readyMs: 390 };

export const finished: BuildTiming = { pendingMs: 0, runningMs: 0, connectMs: 0, readyMs: 0 };

export type JobStatus = 'pending' | 'running' | 'canceling' | 'succeeded' | 'failed' | 'canceled';

export interface Phase {
  readonly job: JobStatus;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  /** Null until a start has succeeded. */
  readonly agent: AgentPhase | null;
}

export interface AgentPhase {
  readonly status: 'connecting' | 'connected';
  readonly lifecycle: 'created' | 'ready';
  readonly connectedAt: number | null;
  readonly readyAt: number | null;
}

interface Timed {
  readonly createdAt: number;
  readonly timing: BuildTiming;
  readonly ends: JobEnd;
  readonly transition?: Transition;
}

/** Where a job stands at `now`: a pure function of its age, so nothing has to be waited for or cleaned up. */
export function phaseOf(timed: Timed, now: number): Phase {
  const startedAt = timed.createdAt + timed.timing.pendingMs;
  const completedAt = startedAt + timed.timing.runningMs;
  if (now < startedAt) return { job: 'pending', startedAt: null, completedAt: null, agent: null };
  const working = timed.ends.status === 'canceling' ? 'canceling' : 'running';
  if (now < completedAt || working === 'canceling') return { job: working, startedAt, completedAt: null, agent: null };
  const { status } = timed.ends;
  if (status === 'canceled') return { job: status, startedAt: null, completedAt, agent: null };
  const hasAgent = status === 'succeeded' && timed.transition === 'start';
  return { job: status, startedAt, completedAt, agent: hasAgent ? agentPhase(timed.timing, completedAt, now) : null };
}

function agentPhase(timing: BuildTiming, completedAt: number, now: number): AgentPhase {
  const connectedAt = completedAt + timing.connectMs;
  if (now < connectedAt) return { status: 'connecting', lifecycle: 'created', connectedAt: null, readyAt: null };
  const readyAt = connectedAt + timing.readyMs;
  if (now < readyAt) return { status: 'connected', lifecycle: 'created', connectedAt, readyAt: null };
  return { status: 'connected', lifecycle: 'ready', connectedAt, readyAt };
}

export const isActive = (phase: Phase): boolean =>
  phase.job === 'pending' || phase.job === 'running' || phase.job === 'canceling';

const running: Readonly<Record<Transition, string>> = { start: 'starting', stop: 'stopping', delete: 'deleting' };
const succeeded: Readonly<Record<Transition, string>> = { start: 'running', stop: 'stopped', delete: 'deleted' };

/** Coder's word for a workspace, from its latest build. */
export function statusWord(transition: Transition, job: JobStatus): string {
  if (job === 'running') return running[transition];
  if (job === 'succeeded') return succeeded[transition];
  return job;
}
