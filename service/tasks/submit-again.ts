import type { Caller } from '../identity/identity.ts';
import type { Transaction } from '../platform/database.ts';
import { submitterOf, type AcceptParts } from './accept-task.ts';
import { mustHaveRoom } from './queue-room.ts';
import { mustBeOn, submitTask, type Work } from './submit-task.ts';
import type { TaskRecord } from './task.ts';
import { narrow, refusalOf } from './work-bounds.ts';

/**
 * Checks whether the caller may have the work of a task done once more, and answers what submits it in a transaction:
 * a new task with all its attempts, on the same commits, by whoever had it last.
 *
 * Errors  those of a submission: `not_found`, `forbidden`, `unprocessable`, and in the transaction a full queue.
 */
export async function prepareAgain(
  parts: AcceptParts,
  caller: Caller,
  task: TaskRecord,
  requestId: string,
): Promise<(tx: Transaction) => Promise<string>> {
  const workspace = await parts.authorize.workspace(caller, task.workspaceId, requestId);
  const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId });
  const bounds = narrow(parts.bounds, inWorkspace);
  mustBeOn(bounds, task.agent);
  const refusal = refusalOf(bounds, task);
  if (refusal) throw refusal;
  return async (tx) => {
    await mustHaveRoom(tx, parts.queueMax, { ownerId: caller.actor.id, tasks: 1 });
    const { baseCommits, id: retryOf } = task;
    return submitTask(tx, parts, {
      work: workOf(task),
      workspace,
      submitter: submitterOf(caller),
      requestId,
      baseCommits,
      retryOf,
    });
  };
}

/** The work of a task, to be done once more by whoever had it last. */
const workOf = (task: TaskRecord): Work => ({
  agent: task.agent,
  action: task.action,
  prompt: task.prompt,
  payload: task.payload,
  profile: task.profile,
  model: task.model,
  fallback: null,
  verify: task.verify,
  priority: task.priority,
  timeoutMs: task.timeoutMs,
  maxAttempts: task.maxAttempts,
  retryDelayMs: task.retryDelayMs,
  budgetMicroUsd: task.budgetMicroUsd,
  budgetTokens: task.budgetTokens,
  budgetToolCalls: task.budgetToolCalls,
  fallbackModels: task.fallbackModels,
});
