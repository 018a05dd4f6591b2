import type { AuditLog } from '../audit/audit-log.ts';
import type { TaskState } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import { askToStop } from './ask-to-stop.ts';
import { finishTask, type SettleParts, type Wake } from './settle.ts';
import { lockTask, readAttempt } from './task-store.ts';
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
  const by = { actor: `user:${actorId}`, requestId };
  const { task, wakes } = await parts.database.transaction(async (tx) => {
    const current = await lockTask(tx, taskId);
    if (!current) throw notFound(`Task '${taskId}'`);
    const wakes: Wake[] = [];
    if (current.state === 'finished' && current.outcome !== 'stopped' && current.outcome !== 'canceled')
      throw alreadyFinished(current);
    if (await isOver(tx, current)) return { task: current, wakes };
    if (waitsForAdmission.includes(current.state)) {
      await parts.approvals.withdraw(tx, taskId);
      // What is parked did begin, and its attempt has proven its end.
      const last = current.state === 'parked' ? await readAttempt(tx, taskId, current.attempt) : null;
      const outcome = last === null ? ('canceled' as const) : ('stopped' as const);
      const verdict = { outcome, reason: 'UserStopped' as const, message: null };
      const evidence = last?.evidence ?? current.evidence;
      wakes.push(...(await finishTask(tx, parts, current, evidence, verdict, by.actor)));
    } else {
      await askToStop(tx, parts, current, 'UserStopped', by);
      wakes.push({ workflowId: attemptWorkflowId(taskId, current.attempt), topic: lookTopic });
    }
    return { task: (await lockTask(tx, taskId)) ?? current, wakes };
  });
  for (const wake of wakes)
    await parts.engine.signal(wake.workflowId, wake.topic, {}, `stop:${taskId}:${wake.workflowId}`);
  return task;
}

const waitsForAdmission: readonly TaskState[] = ['queued', 'blocked', 'parked'];

/** Already ended, being ended, or reported by its bridge: then its own result stands. One that is parked has none. */
async function isOver(tx: Transaction, task: TaskRecord): Promise<boolean> {
  if (task.state === 'finished' || task.state === 'stopping') return true;
  const attempt = await readAttempt(tx, task.id, task.attempt);
  return attempt?.state === 'reported' && attempt.parkingSince === null;
}

const alreadyFinished = (task: TaskRecord): ServiceError =>
  new ServiceError(
    'conflict',
    'task_finished',
    `This task is already finished (${task.outcome}). There is nothing to stop.`,
  );
