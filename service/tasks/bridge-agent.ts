import { handedOver, type Agent, type TaskResult } from '../../modules/contract.ts';
import type { RegisteredAgent } from '../agents/agent.ts';
import { AgentFailure } from '../agents/agent-failure.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { pause } from '../platform/pause.ts';
import { readTask } from './task-store.ts';
import type { TaskRecord } from './task.ts';

export interface BridgeAgentParts {
  readonly database: Database;
  /** Ends a task on behalf of its owner; ending it again is harmless. Throws `conflict` for one that has ended. */
  readonly stop: (taskId: string, ownerId: string) => Promise<unknown>;
  /** How often a task is looked at. */
  readonly lookEveryMs: number;
}

/**
 * An agent whose work is done in workspaces: admission, attempts and retries are those of the task's own rows, so to
 * execute one is to follow it to its end. Whoever follows it first, or again, changes nothing.
 */
export const makeBridgeAgent = (parts: BridgeAgentParts, listed: RegisteredAgent): Agent => ({
  ...listed,
  async execute({ id }, { signal }) {
    for (;;) {
      const task = await readTask(parts.database, id);
      if (!task) throw new AgentFailure('ContextError', `Task ${id} was not submitted, so no bridge can work on it.`);
      if (task.agent !== listed.name())
        throw new AgentFailure('ContextError', `Task ${id} is for agent '${task.agent}', not '${listed.name()}'.`);
      if (task.state === 'finished') return resultOf(task);
      if (signal.aborted) throw await letGo(parts, task, signal);
      await pause(parts.lookEveryMs, signal);
    }
  },
});

async function letGo(parts: BridgeAgentParts, task: TaskRecord, { reason }: AbortSignal): Promise<AgentFailure> {
  if (reason !== handedOver) await stopOnce(parts, task);
  return new AgentFailure('UserStopped', `Task ${task.id} was told to stop.`);
}

async function stopOnce({ stop }: BridgeAgentParts, { id, ownerId }: TaskRecord): Promise<void> {
  try {
    await stop(id, ownerId);
  } catch (error) {
    if (!(error instanceof ServiceError && error.kind === 'conflict')) throw error;
  }
}

function resultOf({ outcome, reason, message, evidence }: TaskRecord): TaskResult {
  if (outcome === 'succeeded' || outcome === 'no_change')
    return { output: evidence?.last_message?.text ?? '', objects: evidence?.objects ?? [] };
  throw new AgentFailure(reason ?? 'AgentError', message ?? `The task ended ${outcome ?? 'without an outcome'}.`);
}
