import type { BridgeRequests } from '../../modules/contract.ts';
import type { Approval } from '../approvals/approval.ts';
import type { BridgeIdentity } from '../bridge/bridge.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { beginRunning, fencedOff, lockHeld, look, type LeaseParts } from './held-attempt.ts';
import { appendEvent } from './task-events.ts';
import { changeAttempt, lockTask, moveTask, readAttempt } from './task-store.ts';
import type { AttemptRecord, TaskRecord } from './task.ts';

/** Turns a question of a bridge into an approval; a question that was settled is answered again. */
export async function takeAsk(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['ask']['payload'],
): Promise<BridgeRequests['ask']['data']> {
  const { ask_id, kind, title, detail, task_id, attempt } = payload;
  const approvalId = await parts.database.transaction(async (tx) => {
    const current = await lockHeld(tx, parts, bridge, payload);
    if (!current) throw fencedOff(payload);
    const { task } = current;
    const { approval, isNew } = await parts.approvals.request(tx, {
      task_id,
      attempt,
      ask: { ask_id, kind, title, detail },
      workspaceId: task.workspaceId,
      ownerId: task.ownerId,
      organizationId: task.organizationId,
    });
    if (isNew) await beginWaiting(tx, parts, current.task, current.attempt, approval);
    else if (approval.state !== 'pending') await sendDecision(tx, parts.clock, approval);
    return approval.id;
  });
  await look(parts, payload, `ask:${approvalId}`);
  return { approval_id: approvalId };
}

async function beginWaiting(
  tx: Transaction,
  parts: LeaseParts,
  task: TaskRecord,
  attempt: AttemptRecord,
  approval: Approval,
): Promise<void> {
  const now = parts.clock.now();
  if (task.state === 'starting') await beginRunning(tx, task, now);
  if (task.state === 'running' || task.state === 'starting') {
    const reason = approval.kind === 'question' ? 'QuestionAsked' : 'PermissionRequired';
    await moveTask(tx, { id: task.id, state: 'running' }, 'waiting', { reason });
    await appendEvent(tx, {
      taskId: task.id,
      attempt: attempt.number,
      type: 'task.waiting',
      at: now,
      data: { reason },
    });
    if (attempt.waitingSince === null) await changeAttempt(tx, task.id, attempt.number, { waiting_since: now });
  }
  const data = { approval_id: approval.id, kind: approval.kind, title: approval.title };
  await appendEvent(tx, { taskId: task.id, attempt: attempt.number, type: 'approval.requested', at: now, data });
}

const sendDecision = (tx: Transaction, clock: Clock, approval: Approval): Promise<unknown> =>
  sendToBridge(tx, clock, approval.workspaceId, 'decision', {
    task_id: approval.task_id,
    attempt: approval.attempt,
    ask_id: approval.askId,
    decision: approval.decision ?? 'reject',
    ...(approval.message === null ? {} : { message: approval.message }),
  });

/** Subscribed to settled approvals: tells the bridge and lets the task run on when nothing else is open. */
export const makeApprovalHook =
  (
    clock: Clock,
    countPending: (tx: Transaction, taskId: string) => Promise<number>,
    release: (tx: Transaction, task: TaskRecord, approval: Approval) => Promise<void>,
  ) =>
  async (tx: Transaction, approval: Approval): Promise<void> => {
    const task = await lockTask(tx, approval.task_id);
    if (!task || task.attempt !== approval.attempt || task.state === 'finished') return;
    const now = clock.now();
    if (approval.kind !== 'step') await sendDecision(tx, clock, approval);
    await appendEvent(tx, {
      taskId: task.id,
      attempt: approval.attempt,
      type: approval.state === 'expired' ? 'approval.expired' : 'approval.decided',
      at: now,
      data: { approval_id: approval.id, decision: approval.decision, decided_by: approval.decidedBy },
    });
    if (approval.kind === 'step') return release(tx, task, approval);
    if (task.state !== 'waiting' || (await countPending(tx, task.id)) > 0) return;
    const attempt = await readAttempt(tx, task.id, approval.attempt);
    await moveTask(tx, task, 'running', { reason: null });
    await appendEvent(tx, { taskId: task.id, attempt: approval.attempt, type: 'task.running', at: now });
    if (attempt?.waitingSince)
      await changeAttempt(tx, task.id, attempt.number, {
        waiting_since: null,
        waited_ms: attempt.waitedMs + (now.getTime() - attempt.waitingSince.getTime()),
      });
  };
