import type { Approval } from '../approvals/approval.ts';
import type { Transaction } from '../platform/database.ts';
import { finishTask, type SettleParts } from './settle.ts';
import { appendEvent } from './task-events.ts';
import { moveTask } from './task-store.ts';
import type { TaskRecord } from './task.ts';

/**
 * What follows from a decision about a step that waited for one: it may start like any other task, or it is
 * `canceled`, because it never began. Its workflow hears of the decision itself and needs no wake-up.
 */
export async function releaseStep(
  tx: Transaction,
  parts: SettleParts,
  task: TaskRecord,
  approval: Approval,
): Promise<void> {
  if (task.state !== 'blocked') return;
  if (approval.state === 'decided' && approval.decision === 'once') {
    const now = parts.clock.now();
    await moveTask(tx, task, 'queued', { reason: null, run_at: now });
    await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.queued', at: now });
    return;
  }
  const message =
    approval.state === 'expired' ? 'Nobody let this step begin in time.' : 'A person did not let this step begin.';
  const verdict = { outcome: 'canceled' as const, reason: 'ApprovalRejected' as const, message };
  const actor = approval.decidedBy === null ? 'service' : `user:${approval.decidedBy}`;
  await finishTask(tx, parts, task, null, verdict, actor);
}
