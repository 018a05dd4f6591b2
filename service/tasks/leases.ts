import { timing, type AttemptRef, type BridgeRequests, type Lease, type ReplyFrame } from '../../modules/contract.ts';
import type { Approval } from '../approvals/approval.ts';
import type { BridgeHandlers, BridgeIdentity, StoredFrame } from '../bridge/bridge.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { ServiceError } from '../platform/errors.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { Clock } from '../platform/clock.ts';
import { leaseFor } from './lease-for.ts';
import { appendEvent } from './task-events.ts';
import { changeAttempt, changeTask, lockAttemptsOfWorkspace, lockTask, readAttempt } from './task-store.ts';
import { attemptWorkflowId, failedEvidence, lookTopic, type AttemptRecord, type TaskRecord } from './task.ts';

export interface LeaseParts {
  readonly database: Database;
  readonly engine: Pick<Engine, 'signal'>;
  readonly audit: AuditLog;
  readonly approvals: Approvals;
  readonly gateway: Pick<Gateway, 'mintTaskToken'>;
  readonly clock: Clock;
}

/** What the tasks room does with the frames of a bridge. */
export function makeLeaseHandlers(parts: LeaseParts): BridgeHandlers {
  return {
    claim: (bridge, request) => claim(parts, bridge, request),
    heartbeat: (bridge, holding) => heartbeat(parts, bridge, holding),
    event: (bridge, payload) => takeEvent(parts, bridge, payload),
    ask: (bridge, payload) => takeAsk(parts, bridge, payload),
    result: (bridge, payload) => takeResult(parts, bridge, payload),
    answered: (tx, bridge, frame, reply) => auditAnswer(tx, parts, bridge, frame, reply),
  };
}

const holds = (holding: readonly AttemptRef[], attempt: AttemptRecord): boolean =>
  holding.some((one) => one.task_id === attempt.taskId && one.attempt === attempt.number);

const leaseUntil = (clock: Clock): Date => new Date(clock.now().getTime() + timing.leaseMs);

const look = (parts: LeaseParts, ref: AttemptRef, key: string): Promise<void> =>
  parts.engine.signal(attemptWorkflowId(ref.task_id, ref.attempt), lookTopic, {}, key);

/**
 * Gives the oldest offered attempt to a bridge with a free place.
 *
 * An attempt that is leased but that the bridge does not hold was either never received (same registration: it is
 * offered again with a fresh token) or died with an older bridge process (it fails as retryable).
 */
async function claim(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  request: BridgeRequests['lease']['payload'],
): Promise<Lease | null> {
  const lost: AttemptRef[] = [];
  const lease = await parts.database.transaction(async (tx) => {
    for (const { task, attempt } of await lockAttemptsOfWorkspace(tx, bridge.workspaceId)) {
      const held = holds(request.holding, attempt);
      if (attempt.state === 'leased' && !held && attempt.leaseGeneration !== bridge.generation) {
        await loseAttempt(tx, task);
        lost.push({ task_id: task.id, attempt: attempt.number });
      } else if (!held && request.slots > 0 && task.state !== 'stopping') {
        return grant(tx, parts, bridge, task);
      }
    }
    return null;
  });
  for (const ref of lost) await look(parts, ref, `lost:${ref.task_id}:${ref.attempt}`);
  return lease;
}

const loseAttempt = (tx: Transaction, task: TaskRecord): Promise<void> =>
  changeAttempt(tx, task.id, task.attempt, {
    state: 'reported',
    evidence: failedEvidence({
      reason: 'BridgeLost',
      message: 'The bridge that worked on this attempt is gone.',
      retryable: true,
    }),
  });

async function grant(tx: Transaction, parts: LeaseParts, bridge: BridgeIdentity, task: TaskRecord): Promise<Lease> {
  const now = parts.clock.now();
  await changeAttempt(tx, task.id, task.attempt, {
    state: 'leased',
    lease_generation: bridge.generation,
    lease_until: leaseUntil(parts.clock),
    leased_at: now,
  });
  await changeTask(tx, task.id, { reason: null });
  await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.leased', at: now });
  await parts.audit.append(tx, {
    actor: `bridge:${task.workspaceId}`,
    action: 'task.leased',
    target: { type: 'task', id: task.id },
    outcome: 'success',
    ownerId: task.ownerId,
    organizationId: task.organizationId,
    workspaceId: task.workspaceId,
    data: { attempt: task.attempt, generation: bridge.generation },
  });
  const token = await parts.gateway.mintTaskToken(tx, {
    taskId: task.id,
    attempt: task.attempt,
    workspaceId: task.workspaceId,
    ownerId: task.ownerId,
    organizationId: task.organizationId,
    model: task.model,
  });
  return leaseFor(task, token);
}

/** Renews every lease that is still the bridge's; answers the others, which it must drop. */
async function heartbeat(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  holding: readonly AttemptRef[],
): Promise<readonly AttemptRef[]> {
  const fenced: AttemptRef[] = [];
  for (const ref of holding) {
    const renewed = await parts.database.transaction(async (tx) => {
      const current = await lockHeld(tx, bridge, ref);
      if (!current) return false;
      await changeAttempt(tx, ref.task_id, ref.attempt, {
        lease_generation: bridge.generation,
        lease_until: leaseUntil(parts.clock),
      });
      return true;
    });
    if (!renewed) fenced.push(ref);
  }
  return fenced;
}

/** The attempt, if it is the current one of a task in this bridge's workspace and still leased. */
async function lockHeld(
  tx: Transaction,
  bridge: BridgeIdentity,
  ref: AttemptRef,
): Promise<{ task: TaskRecord; attempt: AttemptRecord } | null> {
  const task = await lockTask(tx, ref.task_id);
  if (!task || task.workspaceId !== bridge.workspaceId || task.attempt !== ref.attempt) return null;
  const attempt = await readAttempt(tx, ref.task_id, ref.attempt);
  return attempt?.state === 'leased' ? { task, attempt } : null;
}

const fencedOff = (ref: AttemptRef): ServiceError =>
  new ServiceError(
    'conflict',
    'attempt_fenced',
    `Attempt ${ref.attempt} of task ${ref.task_id} is not this bridge's any more. Stop it and drop its messages.`,
  );

async function takeEvent(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['event']['payload'],
): Promise<BridgeRequests['event']['data']> {
  return parts.database.transaction(async (tx) => {
    const current = await lockHeld(tx, bridge, payload);
    if (!current) throw fencedOff(payload);
    const { task, attempt } = current;
    if (payload.source_seq > attempt.lastSourceSeq + 1) return { acked: attempt.lastSourceSeq };
    if (payload.source_seq <= attempt.lastSourceSeq) return { acked: attempt.lastSourceSeq };
    const now = parts.clock.now();
    await changeAttempt(tx, task.id, attempt.number, { last_source_seq: payload.source_seq });
    if (task.state === 'starting') {
      await changeTask(tx, task.id, { state: 'running', ...(task.startedAt ? {} : { started_at: now }) });
      await appendEvent(tx, { taskId: task.id, attempt: attempt.number, type: 'task.running', at: now });
    }
    if (payload.type === 'session.opened' && typeof payload.data['session_id'] === 'string')
      await changeTask(tx, task.id, { session_id: payload.data['session_id'].slice(0, 200) });
    await appendEvent(tx, {
      taskId: task.id,
      attempt: attempt.number,
      type: payload.type,
      at: new Date(payload.at),
      data: payload.data,
    });
    return { acked: payload.source_seq };
  });
}

async function takeAsk(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['ask']['payload'],
): Promise<BridgeRequests['ask']['data']> {
  const { ask_id, kind, title, detail, task_id, attempt } = payload;
  const approvalId = await parts.database.transaction(async (tx) => {
    const current = await lockHeld(tx, bridge, payload);
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
  if (task.state === 'running' || task.state === 'starting') {
    await changeTask(tx, task.id, { state: 'waiting', reason: 'PermissionRequired' });
    if (attempt.waitingSince === null) await changeAttempt(tx, task.id, attempt.number, { waiting_since: now });
  }
  const data = { approval_id: approval.id, kind: approval.kind, title: approval.title };
  await appendEvent(tx, { taskId: task.id, attempt: attempt.number, type: 'approval.requested', at: now, data });
  await appendEvent(tx, { taskId: task.id, attempt: attempt.number, type: 'task.waiting', at: now, data });
}

const sendDecision = (tx: Transaction, clock: Clock, approval: Approval): Promise<void> =>
  sendToBridge(tx, clock, approval.workspaceId, 'decision', {
    task_id: approval.task_id,
    attempt: approval.attempt,
    ask_id: approval.askId,
    decision: approval.decision ?? 'reject',
    ...(approval.message === null ? {} : { message: approval.message }),
  });

/** Subscribed to settled approvals: tells the bridge and lets the task run on when nothing else is open. */
export const makeApprovalHook =
  (clock: Clock, countPending: (tx: Transaction, taskId: string) => Promise<number>) =>
  async (tx: Transaction, approval: Approval): Promise<void> => {
    const task = await lockTask(tx, approval.task_id);
    if (!task || task.attempt !== approval.attempt || task.state === 'finished') return;
    const now = clock.now();
    await sendDecision(tx, clock, approval);
    await appendEvent(tx, {
      taskId: task.id,
      attempt: approval.attempt,
      type: approval.state === 'expired' ? 'approval.expired' : 'approval.decided',
      at: now,
      data: { approval_id: approval.id, decision: approval.decision, decided_by: approval.decidedBy },
    });
    if (task.state !== 'waiting' || (await countPending(tx, task.id)) > 0) return;
    const attempt = await readAttempt(tx, task.id, approval.attempt);
    await changeTask(tx, task.id, { state: 'running', reason: null });
    await appendEvent(tx, { taskId: task.id, attempt: approval.attempt, type: 'task.running', at: now });
    if (attempt?.waitingSince)
      await changeAttempt(tx, task.id, attempt.number, {
        waiting_since: null,
        waited_ms: attempt.waitedMs + (now.getTime() - attempt.waitingSince.getTime()),
      });
  };

async function takeResult(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['result']['payload'],
): Promise<BridgeRequests['result']['data']> {
  const accepted = await parts.database.transaction(async (tx) => {
    const task = await lockTask(tx, payload.task_id);
    if (!task || task.workspaceId !== bridge.workspaceId || task.attempt !== payload.attempt) return false;
    const attempt = await readAttempt(tx, task.id, payload.attempt);
    if (attempt?.state === 'reported' || attempt?.state === 'settled')
      return attempt.evidence?.failure?.reason !== 'BridgeLost';
    if (attempt?.state !== 'leased') return false;
    await changeAttempt(tx, task.id, attempt.number, { state: 'reported', evidence: payload.evidence });
    return true;
  });
  if (accepted) await look(parts, payload, `result:${payload.task_id}:${payload.attempt}`);
  return { accepted };
}

/** A refused command is worth a line in the audit; a receipt arrives again inside the result. */
async function auditAnswer(
  tx: Transaction,
  parts: LeaseParts,
  bridge: BridgeIdentity,
  frame: StoredFrame,
  reply: ReplyFrame,
): Promise<void> {
  await parts.audit.append(tx, {
    actor: `bridge:${bridge.workspaceId}`,
    action: `bridge.${frame.type}_answered`,
    target: { type: 'workspace', id: bridge.workspaceId },
    outcome: reply.success ? 'success' : 'failure',
    ownerId: bridge.ownerId,
    organizationId: bridge.organizationId,
    workspaceId: bridge.workspaceId,
    data: { frame_id: frame.frameId },
  });
}
