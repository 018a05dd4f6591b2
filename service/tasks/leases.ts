import {
  timing,
  type AttemptRef,
  type BridgeRequests,
  type Evidence,
  type Lease,
  type ReplyFrame,
} from '../../modules/contract.ts';
import { unusedAnswers } from '../approvals/approval-store.ts';
import type { BridgeHandlers, BridgeIdentity, StoredFrame } from '../bridge/bridge.ts';
import type { Transaction } from '../platform/database.ts';
import { storableText } from '../platform/storable.ts';
import { isUuid, type Clock } from '../platform/clock.ts';
import type { ServiceError } from '../platform/errors.ts';
import { unableBridge } from './able-bridge.ts';
import { takeAsk } from './asks.ts';
import { beginRunning, fencedOff, lockHeld, look, mustBeCurrent, type LeaseParts } from './held-attempt.ts';
import { leaseFor } from './lease-for.ts';
import { takeArtifact } from './record/take-artifact.ts';
import { appendReported, withoutSecrets } from './record/reported.ts';
import { appendEvent } from './task-events.ts';
import { markDelivered, undelivered } from './task-message-store.ts';
import {
  changeAttempt,
  changeTask,
  hasOpenAttempts,
  lockAttemptsOfWorkspace,
  lockTask,
  readAttempt,
} from './task-store.ts';
import { auditOf, failedEvidence, type AttemptRecord, type TaskRecord } from './task.ts';
import { refusalOf, type WorkLimits } from './work-bounds.ts';

/** What the tasks room does with the frames of a bridge. */
export function makeLeaseHandlers(parts: LeaseParts): BridgeHandlers {
  return {
    claim: (bridge, request) => claim(parts, bridge, request),
    heartbeat: (bridge, holding) => heartbeat(parts, bridge, holding),
    event: (bridge, payload) => takeEvent(parts, bridge, payload),
    ask: (bridge, payload) => takeAsk(parts, bridge, payload),
    artifact: (bridge, payload) => takeArtifact(parts, bridge, payload),
    result: (bridge, payload) => takeResult(parts, bridge, payload),
    answered: (tx, bridge, frame, reply) => auditAnswer(tx, parts, bridge, frame, reply),
  };
}

const holds = (holding: readonly AttemptRef[], attempt: AttemptRecord): boolean =>
  holding.some((one) => one.task_id === attempt.taskId && one.attempt === attempt.number);

const leaseUntil = (clock: Clock): Date => new Date(clock.now().getTime() + timing.leaseMs);

/**
 * Gives the oldest offered attempt to a bridge with a free place.
 *
 * An attempt that is leased but that the bridge does not hold was either never received (same registration: it is
 * offered again with a fresh token) or died with an older bridge process (it fails as retryable). One that its
 * workspace does not allow any more fails for good: the workspace may have been built anew since it was submitted.
 */
async function claim(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  request: BridgeRequests['lease']['payload'],
): Promise<Lease | null> {
  // Outside the transaction, because Coder may have to be asked. What is offered meanwhile wakes the bridge again.
  const isAnyOpen = await hasOpenAttempts(parts.database, bridge.workspaceId);
  const limits = isAnyOpen ? await limitsOrNull(parts, bridge) : null;
  const ended: AttemptRef[] = [];
  const lease = await parts.database.transaction(async (tx) => {
    await mustBeCurrent(tx, parts, bridge);
    for (const { task, attempt } of await lockAttemptsOfWorkspace(tx, bridge.workspaceId)) {
      const held = holds(request.holding, attempt);
      const ref = { task_id: task.id, attempt: attempt.number };
      if (attempt.state === 'leased' && !held && attempt.leaseGeneration !== bridge.generation) {
        await endAttempt(tx, task, bridgeGone);
        ended.push(ref);
      } else if (limits && !held && request.slots > 0 && task.state !== 'stopping') {
        const refusal = refusalOf(limits, task) ?? (await unableBridge(tx, task));
        if (!refusal) return grant(tx, parts, bridge, task, limits);
        await refuseLease(tx, parts, task, refusal);
        ended.push(ref);
      }
    }
    return null;
  });
  for (const ref of ended) await look(parts, ref, `lost:${ref.task_id}:${ref.attempt}`);
  // Until then it waits as long as a bridge may take to come; lease and time limit end sooner.
  if (lease) await look(parts, lease, `leased:${lease.task_id}:${lease.attempt}`);
  return lease;
}

/** Null while Coder cannot be asked: nothing is leased then, and the next heartbeat looks again. */
async function limitsOrNull(parts: LeaseParts, bridge: BridgeIdentity): Promise<WorkLimits | null> {
  try {
    return await parts.limitsOf(bridge);
  } catch (error) {
    parts.log.warn({ error, workspaceId: bridge.workspaceId }, 'cannot ask what a workspace allows');
    return null;
  }
}

type Failure = NonNullable<Evidence['failure']>;

const bridgeGone: Failure = {
  reason: 'BridgeLost',
  message: 'The bridge that worked on this attempt is gone.',
  retryable: true,
};

/** Reports for an attempt that cannot report for itself; its durable function settles it. */
const endAttempt = (tx: Transaction, task: TaskRecord, failure: Failure): Promise<void> =>
  changeAttempt(tx, task.id, task.attempt, { state: 'reported', evidence: failedEvidence(failure) });

async function refuseLease(
  tx: Transaction,
  parts: LeaseParts,
  task: TaskRecord,
  { code, message }: ServiceError,
): Promise<void> {
  await endAttempt(tx, task, { reason: 'ContextError', message, retryable: false });
  await parts.audit.append(tx, {
    actor: 'service',
    action: 'task.lease_refused',
    ...auditOf(task),
    outcome: 'denied',
    data: { attempt: task.attempt, code, model: task.model, profile: task.profile },
  });
}

async function grant(
  tx: Transaction,
  parts: LeaseParts,
  bridge: BridgeIdentity,
  task: TaskRecord,
  limits: WorkLimits,
): Promise<Lease> {
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
    ...auditOf(task),
    outcome: 'success',
    data: { attempt: task.attempt, generation: bridge.generation },
  });
  const token = await parts.gateway.mintTaskToken(tx, {
    taskId: task.id,
    attempt: task.attempt,
    workspaceId: task.workspaceId,
    ownerId: task.ownerId,
    organizationId: task.organizationId,
    model: task.model,
    ...(task.budgetMicroUsd === null ? {} : { budgetMicroUsd: task.budgetMicroUsd }),
    ...(task.budgetTokens === null ? {} : { budgetTokens: task.budgetTokens }),
    ...(task.budgetToolCalls === null ? {} : { budgetToolCalls: task.budgetToolCalls }),
    ...(task.fallbackModels.length === 0 ? {} : { fallbackModels: task.fallbackModels }),
    ...(limits.allowedModels === null ? {} : { allowedModels: limits.allowedModels }),
  });
  return leaseFor(task, token, await undelivered(tx, task.id), await unusedAnswers(tx, task.id));
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
      const current = await lockHeld(tx, parts, bridge, ref);
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

async function takeEvent(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['event']['payload'],
): Promise<BridgeRequests['event']['data']> {
  return parts.database.transaction(async (tx) => {
    const current = await lockHeld(tx, parts, bridge, payload);
    if (!current) throw fencedOff(payload);
    const { task, attempt } = current;
    if (payload.source_seq > attempt.lastSourceSeq + 1) return { acked: attempt.lastSourceSeq };
    if (payload.source_seq <= attempt.lastSourceSeq) return { acked: attempt.lastSourceSeq };
    const now = parts.clock.now();
    await changeAttempt(tx, task.id, attempt.number, { last_source_seq: payload.source_seq });
    if (task.state === 'starting') await beginRunning(tx, task, now);
    if (payload.type === 'session.opened' && typeof payload.data['session_id'] === 'string')
      await changeTask(tx, task.id, { session_id: storableText(payload.data['session_id'].slice(0, 200)) });
    const { id } = payload.data;
    if (payload.type === 'message.sent' && typeof id === 'string' && isUuid(id))
      await markDelivered(tx, { taskId: task.id, id, attempt: attempt.number, at: now });
    // The service says itself what became of a question.
    if (payload.type === 'approval.withdrawn') {
      const askId = String(payload.data['ask_id']);
      if (attempt.parkingSince === null)
        await parts.approvals.withdrawOne(tx, { task_id: task.id, attempt: attempt.number, ask_id: askId });
      return { acked: payload.source_seq };
    }
    await appendReported(tx, {
      taskId: task.id,
      attempt: attempt.number,
      type: payload.type,
      at: new Date(payload.at),
      data: payload.data,
    });
    return { acked: payload.source_seq };
  });
}

async function takeResult(
  parts: LeaseParts,
  bridge: BridgeIdentity,
  payload: BridgeRequests['result']['payload'],
): Promise<BridgeRequests['result']['data']> {
  const accepted = await parts.database.transaction(async (tx) => {
    await mustBeCurrent(tx, parts, bridge);
    const task = await lockTask(tx, payload.task_id);
    if (!task || task.workspaceId !== bridge.workspaceId || task.attempt !== payload.attempt) return false;
    const attempt = await readAttempt(tx, task.id, payload.attempt);
    if (attempt?.state === 'reported' || attempt?.state === 'settled')
      return attempt.evidence?.failure?.reason !== 'BridgeLost';
    if (attempt?.state !== 'leased') return false;
    const evidence = withoutSecrets(payload.evidence);
    await changeAttempt(tx, task.id, attempt.number, { state: 'reported', evidence });
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
    action: `bridge.${frame.type.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_answered`,
    target: { type: 'workspace', id: bridge.workspaceId },
    outcome: reply.success ? 'success' : 'failure',
    ownerId: bridge.ownerId,
    organizationId: bridge.organizationId,
    workspaceId: bridge.workspaceId,
    data: { frame_id: frame.frameId },
  });
}
