import type { BridgeRequests } from '../../modules/contract.ts';
import { decisionWord, type Approval } from '../approvals/approval.ts';
import { markParked } from '../approvals/approval-store.ts';
import type { BridgeIdentity } from '../bridge/bridge.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { beginRunning, fencedOff, lockHeld, look, type LeaseParts } from './held-attempt.ts';
import { unpark } from './park.ts';
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
    if (isNew && approval.state === 'pending') await beginWaiting(tx, parts, current.task, current.attempt, approval);
    else if (isNew) await tellAnswered(tx, parts, current.task, approval);
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
  await tellRequested(tx, approval, now);
  // It was asked while the attempt is being ended: its answer is for the next one, like those of the others.
  if (attempt.parkingSince !== null) await markParked(tx, task.id, now);
}

const tellRequested = (tx: Transaction, { task_id, attempt, id, kind, title }: Approval, at: Date): Promise<unknown> =>
  appendEvent(tx, {
    taskId: task_id,
    attempt,
    type: 'approval.requested',
    at,
    data: { approval_id: id, kind, title },
  });

const settledEvent = {
  pending: 'approval.requested',
  decided: 'approval.decided',
  expired: 'approval.expired',
  withdrawn: 'approval.withdrawn',
} as const;

const tellSettled = (tx: Transaction, approval: Approval, at: Date): Promise<unknown> =>
  appendEvent(tx, {
    taskId: approval.task_id,
    attempt: approval.attempt,
    type: settledEvent[approval.state],
    at,
    data: {
      approval_id: approval.id,
      decision: decisionWord(approval),
      decided_by: approval.decidedBy,
      decided_via: approval.decidedVia,
    },
  });

/** Nobody needs to be asked: the same call was answered before. */
async function tellAnswered(tx: Transaction, parts: LeaseParts, task: TaskRecord, approval: Approval): Promise<void> {
  const now = parts.clock.now();
  if (task.state === 'starting') await beginRunning(tx, task, now);
  await tellRequested(tx, approval, now);
  await tellSettled(tx, approval, now);
  await sendDecision(tx, parts.clock, approval);
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
    const attempt = await readAttempt(tx, task.id, approval.attempt);
    const isParked = attempt !== null && attempt.parkingSince !== null;
    if (approval.kind !== 'step' && approval.state !== 'withdrawn' && !isParked)
      await sendDecision(tx, clock, approval);
    await tellSettled(tx, approval, now);
    if (approval.kind === 'step') return release(tx, task, approval);
    if (isParked) return approval.state === 'decided' ? unpark(tx, task, now) : undefined;
    if (task.state !== 'waiting' || (await countPending(tx, task.id)) > 0) return;
    await moveTask(tx, task, 'running', { reason: null });
    await appendEvent(tx, { taskId: task.id, attempt: approval.attempt, type: 'task.running', at: now });
    if (attempt?.waitingSince)
      await changeAttempt(tx, task.id, attempt.number, {
        waiting_since: null,
        waited_ms: attempt.waitedMs + (now.getTime() - attempt.waitingSince.getTime()),
      });
  };
