import type { TaskState } from '../../modules/contract.ts';
import type { GatewayHooks, HaltedAttempt } from '../gateway/gateway.ts';
import { askToStop } from './ask-to-stop.ts';
import type { StopParts } from './stop-task.ts';
import { appendEvent } from './task-events.ts';
import { lockTask, readAttempt } from './task-store.ts';
import { attemptWorkflowId, lookTopic } from './task.ts';

/** What the tasks room does when the gateway lets an attempt make no more calls, or sees a budget nearly spent. */
export const makeHaltHooks = (parts: StopParts): GatewayHooks => ({
  onHalt: (halted) => haltTask(parts, halted),
  async onWarning(tx, { identity, limit, kind, atMost }) {
    if (!(await lockTask(tx, identity.taskId))) return;
    await appendEvent(tx, {
      taskId: identity.taskId,
      attempt: identity.attempt,
      type: 'task.budget_warning',
      at: parts.clock.now(),
      data: { scope: limit.scope, period: limit.period, kind, at_most: atMost },
    });
  },
});

const works: readonly TaskState[] = ['starting', 'running', 'waiting'];

/** Stops an attempt that still works, as a person would, with the gateway's reason; harmless when repeated. */
async function haltTask(parts: StopParts, { taskId, attempt, reason }: HaltedAttempt): Promise<boolean> {
  const isStopping = await parts.database.transaction(async (tx) => {
    const task = await lockTask(tx, taskId);
    if (!task || task.attempt !== attempt || !works.includes(task.state)) return false;
    if ((await readAttempt(tx, taskId, attempt))?.state !== 'leased') return false;
    await askToStop(tx, parts, task, reason, { actor: 'service', requestId: null });
    return true;
  });
  if (isStopping)
    await parts.engine.signal(attemptWorkflowId(taskId, attempt), lookTopic, {}, `halt:${taskId}:${attempt}`);
  return isStopping;
}
