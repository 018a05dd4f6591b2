import type { Task } from '../../../modules/contract.ts';
import type { Clock } from '../../platform/clock.ts';
import { pause } from '../../platform/pause.ts';
import { AgentFailure } from '../agent-failure.ts';
import { containerLimits, labels } from './container.ts';
import { findContainer, readLog, stopContainer, type Container } from './containers.ts';
import type { Engine } from './engine.ts';

export interface FollowParts {
  readonly container: Container;
  readonly task: Task;
  readonly clock: Clock;
  readonly lookEveryMs: number;
  readonly signal: AbortSignal;
}

const graceSeconds = 2;
const ended: readonly string[] = ['exited', 'dead'];
const mostShown = 2_000;

/** Waits for a container's end and answers its output. Throws `AgentFailure` where it failed or took too long. */
export async function followContainer(engine: Engine, parts: FollowParts): Promise<string> {
  const { task, clock, lookEveryMs, signal } = parts;
  const until = new Date(parts.container.labels[labels.until] ?? 0);
  let now = parts.container;
  while (!ended.includes(now.status)) {
    if (clock.now() >= until) await stopContainer(engine, now.id, graceSeconds, signal);
    else await pause(lookEveryMs, signal);
    signal.throwIfAborted();
    const found = await findContainer(engine, task.id, task, signal);
    if (!found) throw new AgentFailure('ContextError', 'The container was removed by somebody else while it ran.');
    now = found;
  }
  return judged(now, until, await readLog(engine, now.id, signal));
}

function judged({ finishedAt, exitCode, wasOutOfMemory }: Container, until: Date, log: string): string {
  const end = log === '' ? 'It wrote nothing.' : `The end of its log:\n${log.slice(-mostShown)}`;
  if (exitCode === 0) return log;
  if (wasOutOfMemory)
    throw new AgentFailure('AgentError', `The container needed more than ${containerLimits.memoryMib} MiB. ${end}`);
  if (finishedAt >= until) throw new AgentFailure('Timeout', `The container ran out of its timeout_seconds. ${end}`);
  throw new AgentFailure('AgentError', `The container ended with exit code ${exitCode}. ${end}`);
}
