import { timing, type AttemptRef, type Evidence } from '../../modules/contract.ts';
import { AgentFailure, type ServiceAgent, type ServiceResult } from '../agents/service-agent.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import { beginRunning } from './held-attempt.ts';
import { settleAttempt, type SettleParts } from './settle.ts';
import { changeAttempt, changeTask, moveTask } from './task-store.ts';
import { failedEvidence, type TaskRecord } from './task.ts';
import { done, lockCurrent, wait, type Turn } from './turn.ts';

export interface HereParts extends SettleParts {
  readonly database: Database;
  readonly log: Logger;
}

/** How often running work looks whether it is still wanted, and says that it lives. */
const beatMs = 2_000;
/** How long an agent may take to end when it is told to. */
const endMs = 10_000;

/**
 * Does an attempt in this process, by an agent of the service.
 *
 * Safety  the attempt is taken for a lease's time and taken anew with each beat: two processes never work on it at
 *         once, and after a crash the next turn does the work again, which its agent must stand.
 */
export async function runHere(parts: HereParts, agent: ServiceAgent, ref: AttemptRef): Promise<Turn> {
  const begun = await parts.database.transaction((tx) => take(tx, parts, ref));
  if ('done' in begun) return begun;
  const { evidence, hasEnded } = await work(parts, agent, ref, begun.task);
  return parts.database.transaction(async (tx) => {
    const current = await lockCurrent(tx, ref);
    if (!current || current.attempt.state === 'settled') return done();
    const { task } = current;
    // What was done before the stop came stays done; what never ended is no proof.
    const isStopped = task.state === 'stopping' && evidence.failure !== null && hasEnded;
    const proven = isStopped ? { ...evidence, stop: endedNow(parts.clock) } : evidence;
    return done(await settleAttempt(tx, parts, task, proven));
  });
}

async function take(tx: Transaction, parts: HereParts, ref: AttemptRef): Promise<Turn | { readonly task: TaskRecord }> {
  const current = await lockCurrent(tx, ref);
  if (!current || current.attempt.state === 'settled') return done();
  const { task, attempt } = current;
  const now = parts.clock.now();
  const takenMs = (attempt.leaseUntil?.getTime() ?? 0) - now.getTime();
  if (takenMs > 0) return wait(takenMs);
  if (task.state === 'stopping') return done(await settleAttempt(tx, parts, task, nothingRan(parts.clock)));
  await changeAttempt(tx, task.id, attempt.number, { lease_until: leaseEnd(parts.clock), leased_at: now });
  if (task.state === 'starting') await beginRunning(tx, task, now);
  return { task };
}

const leaseEnd = (clock: Clock): Date => new Date(clock.now().getTime() + timing.leaseMs);

async function work(
  parts: HereParts,
  agent: ServiceAgent,
  ref: AttemptRef,
  task: TaskRecord,
): Promise<{ readonly evidence: Evidence; readonly hasEnded: boolean }> {
  const end = new AbortController();
  const dueAt = parts.clock.now().getTime() + task.timeoutMs;
  const beating = setInterval(() => {
    beat(parts, ref, dueAt)
      .then((goesOn) => {
        if (goesOn) return;
        clearInterval(beating);
        end.abort();
      })
      .catch((error: unknown) => parts.log.warn({ error, taskId: task.id }, 'cannot hold an attempt'));
  }, beatMs);
  try {
    const { params } = task.payload as { params?: unknown };
    const { organizationId, action } = task;
    const result = await Promise.race([
      agent.execute({ taskId: task.id, organizationId, action, params }, end.signal),
      givenUp(end.signal),
    ]);
    return { evidence: evidenceOf(result), hasEnded: true };
  } catch (error) {
    return { evidence: failedEvidence(failureOf(parts, task, error)), hasEnded: !(error instanceof NeverEnded) };
  } finally {
    clearInterval(beating);
  }
}

class NeverEnded extends AgentFailure {}

const givenUp = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => {
      const message = 'The agent did not end when it was told to.';
      setTimeout(() => reject(new NeverEnded('AgentError', message)), endMs).unref();
    }),
  );

/** Holds the attempt for longer; false where it is to end. */
const beat = (parts: HereParts, ref: AttemptRef, dueAt: number): Promise<boolean> =>
  parts.database.transaction(async (tx) => {
    const current = await lockCurrent(tx, ref);
    if (!current || current.task.state === 'stopping' || current.attempt.state === 'settled') return false;
    await changeAttempt(tx, ref.task_id, ref.attempt, { lease_until: leaseEnd(parts.clock) });
    const now = parts.clock.now();
    if (now.getTime() < dueAt) return true;
    await moveTask(tx, current.task, 'stopping', { reason: 'Timeout' });
    await changeTask(tx, ref.task_id, { stop_reason: 'Timeout', stop_requested_at: now });
    return false;
  });

/** The text goes on to later steps, so it is cut like a harness's last message. */
const evidenceOf = ({ output, objects }: ServiceResult): Evidence => ({
  ...failedEvidence({ reason: 'AgentError', message: '', retryable: false }),
  failure: null,
  last_message: { finish: 'stop', error: null, text: output.slice(0, 32_768) },
  objects,
});

function failureOf(parts: HereParts, task: TaskRecord, error: unknown): NonNullable<Evidence['failure']> {
  if (error instanceof AgentFailure)
    return { reason: error.reason, message: error.message, retryable: error.retryable };
  parts.log.error({ error, taskId: task.id }, 'an agent of the service broke');
  return { reason: 'AgentError', message: 'The agent broke while it worked.', retryable: true };
}

const endedNow = (clock: Clock): NonNullable<Evidence['stop']> => ({
  stopped_at: clock.now().toISOString(),
  method: 'already_gone',
  processes_left: 0,
  tokens_after_stop: 0,
});

/** A stop of something that never reached anybody needs no more proof than that. */
export const nothingRan = (clock: Clock): Evidence => ({
  ...failedEvidence({ reason: 'UserStopped', message: 'Stopped before it began.', retryable: false }),
  stop: endedNow(clock),
});
