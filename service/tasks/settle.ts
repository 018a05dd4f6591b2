import type { Evidence } from '../../modules/contract.ts';
import { serviceAgents } from '../agents/actions.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { isTracing, recordSpan } from '../platform/tracing.ts';
import { endModelCalls } from './end-calls.ts';
import { insertDeadLetter } from './dead-letter-store.ts';
import { failedBefore, isOver, parkTask } from './park.ts';
import { judge, type Verdict } from './judge.ts';
import { afterAttempt, type NextStep } from './next-attempt.ts';
import { appendEvent } from './task-events.ts';
import { changeAttempt, moveTask, readAttempt } from './task-store.ts';
import { auditOf, type TaskRecord } from './task.ts';

/** Somebody in the engine who should look again, once the transaction has committed. */
export interface Wake {
  readonly workflowId: string;
  readonly topic: string;
}

/** Told in the settling transaction that a task is finished; answers whom to wake. */
export type FinishedHook = (tx: Transaction, task: TaskRecord) => Promise<readonly Wake[]>;

export interface SettleParts {
  readonly audit: AuditLog;
  readonly approvals: Approvals;
  readonly gateway: Pick<Gateway, 'revokeTaskTokens' | 'usageOf' | 'haltOf'>;
  readonly clock: Clock;
  readonly onFinished: FinishedHook;
}

/** The verdict on evidence; what the gateway halted is named after its reason. */
async function judgeAttempt(
  tx: Transaction,
  gateway: SettleParts['gateway'],
  task: TaskRecord,
  evidence: Evidence,
): Promise<Verdict> {
  const verdict = judge({ evidence, stopReason: task.stopReason, isVerifyAsked: task.verify !== null });
  if (verdict.outcome !== 'failed' && verdict.outcome !== 'stopped') return verdict;
  const halt = await gateway.haltOf(tx, task.id, task.attempt);
  if (halt === null || verdict.reason === 'StopUnproven' || verdict.reason === 'UserStopped') return verdict;
  return { ...verdict, reason: halt.reason, message: halt.message, retryable: false };
}

/**
 * Ends an attempt in one transaction: its verdict, usage, tokens, audit, and either the next attempt or the end
 * of the task.
 */
export async function settleAttempt(
  tx: Transaction,
  parts: SettleParts,
  task: TaskRecord,
  evidence: Evidence,
): Promise<readonly Wake[]> {
  const { clock, gateway, approvals } = parts;
  const now = clock.now();
  const attempt = await readAttempt(tx, task.id, task.attempt);
  const isParking =
    attempt !== null && attempt.parkingSince !== null && task.stopReason === null && !failedBefore(evidence);
  if (isParking && isOver(evidence)) return parkTask(tx, parts, task, evidence);
  const stopReason = isParking && evidence.stop !== null ? 'PermissionRequired' : task.stopReason;
  const verdict = await judgeAttempt(tx, gateway, { ...task, stopReason }, evidence);
  if (isTracing()) await recordAgent(tx, task, verdict, now);
  await endModelCalls(tx, gateway, task.id);
  await approvals.withdraw(tx, task.id);
  await changeAttempt(tx, task.id, task.attempt, {
    state: 'settled',
    evidence,
    outcome: verdict.outcome,
    reason: verdict.reason,
    settled_at: now,
  });
  const next = afterAttempt(task, verdict);
  if (next.kind !== 'end') return tryAgain(tx, parts, task, evidence, verdict, next);
  if (next.isSpent) await insertDeadLetter(tx, clock, task, verdict);
  const actor = serviceAgents.includes(task.agent) ? 'service' : `bridge:${task.workspaceId}`;
  return finishTask(tx, parts, task, evidence, verdict, actor);
}

/** The agent's own time, from the moment that it was to begin; it may have worked under another process. */
async function recordAgent(tx: Transaction, task: TaskRecord, verdict: Verdict, to: Date): Promise<void> {
  const attempt = await readAttempt(tx, task.id, task.attempt);
  const from = attempt?.leasedAt ?? attempt?.createdAt ?? to;
  const { outcome, reason } = verdict;
  const attributes = { 'task.id': task.id, attempt: task.attempt, agent: task.agent, outcome, reason: reason ?? '' };
  recordSpan(`agent ${task.agent}`, { parent: task.traceParent, attributes, from, to });
}

async function tryAgain(
  tx: Transaction,
  parts: SettleParts,
  task: TaskRecord,
  evidence: Evidence,
  verdict: Verdict,
  next: Exclude<NextStep, { kind: 'end' }>,
): Promise<readonly Wake[]> {
  const now = parts.clock.now();
  const runAt = new Date(now.getTime() + (next.kind === 'retry' ? next.delayMs : 0));
  const other = next.kind === 'fallback' ? { agent: next.agent, model: next.model } : null;
  await moveTask(tx, task, 'queued', {
    reason: verdict.reason,
    message: verdict.message,
    run_at: runAt,
    ...(other ? { ...other, fell_back_after: task.attempt, parks: 0 } : {}),
    ...(evidence.session_id === null ? {} : { session_id: evidence.session_id }),
  });
  await appendEvent(tx, {
    taskId: task.id,
    attempt: task.attempt,
    type: 'task.retrying',
    at: now,
    data: {
      reason: verdict.reason,
      message: verdict.message,
      run_at: runAt.toISOString(),
      ...(other ? { fallback: other } : {}),
    },
  });
  await parts.audit.append(tx, {
    actor: 'service',
    action: other ? 'task.fell_back' : 'task.retried',
    ...auditOf(task),
    outcome: 'failure',
    data: { attempt: task.attempt, reason: verdict.reason, ...other, ...touchedIn(evidence) },
  });
  return [];
}

/** What was touched outside, so that it can be told who changed it. */
const touchedIn = (evidence: Evidence | null): { objects?: string } =>
  evidence?.objects === undefined
    ? {}
    : {
        objects: evidence.objects
          .map(({ kind, namespace, name, result }) => `${kind} ${namespace ?? ''}/${name}: ${result}`)
          .join(', '),
      };

/** Gives a task its outcome. Also used for tasks that end without an attempt. */
export async function finishTask(
  tx: Transaction,
  parts: SettleParts,
  task: TaskRecord,
  evidence: Evidence | null,
  verdict: Pick<Verdict, 'reason' | 'message'> & { outcome: NonNullable<TaskRecord['outcome']> },
  actor: string,
): Promise<readonly Wake[]> {
  const now = parts.clock.now();
  const usage = await parts.gateway.usageOf(tx, task.id);
  await moveTask(tx, task, 'finished', {
    outcome: verdict.outcome,
    reason: verdict.reason,
    message: verdict.message,
    finished_at: now,
    evidence,
    usage,
    ...(evidence?.session_id ? { session_id: evidence.session_id } : {}),
  });
  const summary = { outcome: verdict.outcome, reason: verdict.reason, message: verdict.message };
  await appendEvent(tx, {
    taskId: task.id,
    attempt: task.attempt,
    type: 'task.finished',
    at: now,
    data: { ...summary, commit: evidence?.commit ?? null, diff: evidence?.diff ?? null, usage },
  });
  await parts.audit.append(tx, {
    actor,
    action: 'task.finished',
    ...auditOf(task),
    outcome: verdict.outcome === 'succeeded' || verdict.outcome === 'no_change' ? 'success' : 'failure',
    requestId: task.requestId,
    data: {
      attempt: task.attempt,
      outcome: verdict.outcome,
      reason: verdict.reason,
      commit: evidence?.commit ?? null,
      cost_micro_usd: usage.cost_micro_usd,
      ...touchedIn(evidence),
      ...(evidence?.stop
        ? {
            stopped_at: evidence.stop.stopped_at,
            stop_method: evidence.stop.method,
            processes_left: evidence.stop.processes_left,
            tokens_after_stop: evidence.stop.tokens_after_stop,
          }
        : {}),
    },
  });
  return parts.onFinished(tx, { ...task, ...summary, state: 'finished', finishedAt: now, evidence, usage });
}
