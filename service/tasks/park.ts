import type { Evidence } from '../../modules/contract.ts';
import { pendingOfTask } from '../approvals/approval-store.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import type { Transaction } from '../platform/database.ts';
import { endModelCalls } from './end-calls.ts';
import type { SettleParts, Wake } from './settle.ts';
import { appendEvent } from './task-events.ts';
import { changeAttempt, changeTask, moveTask } from './task-store.ts';
import { auditOf, type TaskRecord } from './task.ts';

/**
 * A question that outlives its attempt.
 *
 * Nobody answers while it may hold the attempt → the bridge ends the attempt, with proof, as for a stop → the task is
 * `parked`: it holds no place, no process runs → a person answers → a new attempt goes on with the same session, and
 * the call that was answered passes once. It costs no retry. Nobody answers at all: `failed (PermissionRequired)`.
 */

/** Asks the bridge to end the attempt. No answer reaches this attempt any more. */
export async function beginParking(
  tx: Transaction,
  parts: Pick<SettleParts, 'clock'>,
  task: TaskRecord,
): Promise<void> {
  await changeAttempt(tx, task.id, task.attempt, { parking_since: parts.clock.now() });
  const payload = { task_id: task.id, attempt: task.attempt, reason: 'PermissionRequired' as const };
  await sendToBridge(tx, parts.clock, task.workspaceId, 'stop', payload);
}

/** Whether an attempt that was asked to end failed by itself: a limit, or an approval that was passed by. */
export const failedBefore = ({ failure }: Evidence): boolean => failure !== null && failure.reason !== 'BridgeLost';

/** Whether nothing of the attempt is left; what its lost bridge held is ended when the next one starts. */
export const isOver = ({ stop, failure }: Evidence): boolean =>
  stop === null ? failure?.reason === 'BridgeLost' : stop.processes_left === 0 && stop.tokens_after_stop === 0;

/** Settles the attempt without an outcome. The task waits without a place, or goes on where it was answered meanwhile. */
export async function parkTask(
  tx: Transaction,
  parts: SettleParts,
  task: TaskRecord,
  evidence: Evidence,
): Promise<readonly Wake[]> {
  const now = parts.clock.now();
  await endModelCalls(tx, parts.gateway, task.id);
  await changeAttempt(tx, task.id, task.attempt, {
    state: 'settled',
    evidence,
    reason: 'PermissionRequired',
    settled_at: now,
  });
  await changeTask(tx, task.id, {
    parks: task.parks + 1,
    ...(evidence.session_id === null ? {} : { session_id: evidence.session_id }),
  });
  await moveTask(tx, task, 'parked', { reason: 'PermissionRequired' });
  await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.parked', at: now });
  await parts.audit.append(tx, {
    actor: 'service',
    action: 'task.parked',
    ...auditOf(task),
    outcome: 'success',
    data: {
      attempt: task.attempt,
      ...(evidence.stop && {
        stopped_at: evidence.stop.stopped_at,
        stop_method: evidence.stop.method,
        processes_left: evidence.stop.processes_left,
        tokens_after_stop: evidence.stop.tokens_after_stop,
      }),
    },
  });
  await unpark(tx, { ...task, state: 'parked' }, now);
  return [];
}

/** Lets a parked task go on once everything it asked is answered. */
export async function unpark(tx: Transaction, task: TaskRecord, now: Date): Promise<void> {
  if (task.state !== 'parked' || (await pendingOfTask(tx, task.id)).length > 0) return;
  await moveTask(tx, task, 'queued', { reason: null, run_at: now });
  await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.queued', at: now });
}
