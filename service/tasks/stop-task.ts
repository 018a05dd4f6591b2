import type { AuditLog } from '../audit/audit-log.ts';
import type { Database } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import { askToStop } from './attempt.ts';
import { finishTask, type SettleParts, type Wake } from './settle.ts';
import { lockTask } from './task-store.ts';
import { attemptWorkflowId, lookTopic, type TaskRecord } from './task.ts';

export interface StopParts extends SettleParts {
  readonly database: Database;
  readonly engine: Pick<Engine, 'signal'>;
  readonly audit: AuditLog;
}

/**
 * Ends a task on request. What never began is `canceled` at once; what runs becomes `stopping` until its bridge
 * proves that nothing is left. Stopping again is harmless.
 *
 * Errors  `conflict` when the task is already finished with another outcome.
 */
export async function stopTask(
  parts: StopParts,
  taskId: string,
  actorId: string,
  requestId: string,
): Promise<TaskRecord> {
  const { task, wakes } = await parts.database.transaction(async (tx) => {
    const current = await lockTask(tx, taskId);
    if (!current) throw notFound(`Task '${taskId}'`);
    const wakes: Wake[] = [];
    if (current.state === 'finished' && current.outcome !== 'stopped' && current.outcome !== 'canceled')
      throw alreadyFinished(current);
    if (current.state !== 'finished' && current.state !== 'stopping') {
      await parts.audit.append(tx, {
        actor: `user:${actorId}`,
        action: 'task.stop_requested',
        target: { type: 'task', id: taskId },
        outcome: 'success',
        ownerId: current.ownerId,
        organizationId: current.organizationId,
        workspaceId: current.workspaceId,
        requestId,
        data: { attempt: current.attempt, state: current.state },
      });
      if (current.state === 'queued' || current.state === 'blocked' || current.state === 'parked') {
        const verdict = { outcome: 'canceled' as const, reason: 'UserStopped' as const, message: null };
        wakes.push(...(await finishTask(tx, parts, current, current.evidence, verdict, `user:${actorId}`)));
      } else {
        await askToStop(tx, parts.clock, current, 'UserStopped');
        wakes.push({ workflowId: attemptWorkflowId(taskId, current.attempt), topic: lookTopic });
      }
    }
    return { task: (await lockTask(tx, taskId)) ?? current, wakes };
  });
  for (const wake of wakes)
    await parts.engine.signal(wake.workflowId, wake.topic, {}, `stop:${taskId}:${wake.workflowId}`);
  return task;
}

const alreadyFinished = (task: TaskRecord): ServiceError =>
  new ServiceError(
    'conflict',
    'task_finished',
    `This task is already finished (${task.outcome}). There is nothing to stop.`,
  );
