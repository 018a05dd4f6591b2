import {
  handedOver,
  timing,
  type Agent,
  type AttemptRef,
  type Evidence,
  type TaskResult,
} from '../../modules/contract.ts';
import { catalogue } from '../agents/actions.ts';
import { AgentFailure } from '../agents/agent-failure.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import { askToStop } from './ask-to-stop.ts';
import { beginRunning } from './held-attempt.ts';
import { settleAttempt, type SettleParts } from './settle.ts';
import { changeAttempt } from './task-store.ts';
import { asAgentTask, auditOf, failedEvidence, type TaskRecord } from './task.ts';
import { done, lockCurrent, wait, type Turn } from './turn.ts';
import { profileRefusal } from './work-here.ts';

export interface HereParts extends SettleParts {
  readonly database: Database;
  readonly log: Logger;
}

/** How often running work looks whether it is still wanted, and says that it lives. */
const beatMs = 2_000;
/** How long an agent may take to let go of work that another process goes on with. */
const endMs = 10_000;
/** How long it may take to end what was told to stop: a workflow waits for the bridges of its steps, or for their leases. */
const stopMs = timing.leaseMs + 25_000;
/** How long work may go on that cannot say that it lives: it must have ended before another process may begin it. */
const silenceMs = timing.leaseMs - endMs - 5_000;
/** How often an end is written down before the work is left to the next turn; all within the lease. */
const settleTries = 8;
const settleAgainMs = 250;

/** An attempt that this process took. */
interface Taken {
  readonly task: TaskRecord;
  readonly takenAt: number;
  readonly dueAt: number;
}

interface Ended {
  readonly evidence: Evidence;
  readonly hasEnded: boolean;
  /** Whether it ended only because the attempt could not be held any longer. */
  readonly isLost: boolean;
}

/**
 * Does an attempt in this process, by an agent of the service.
 *
 * Safety  the attempt is taken for a lease's time and taken anew with each beat; who cannot beat ends before the lease
 *         does. So two processes never work on it at once, and after a crash the next turn does the work again, which
 *         its agent must stand.
 */
export async function runHere(parts: HereParts, agent: Agent, ref: AttemptRef): Promise<Turn> {
  const begun = await parts.database.transaction((tx) => take(tx, parts, ref));
  if ('done' in begun) return begun;
  const ended = await work(parts, agent, ref, begun);
  return ended.isLost ? wait(timing.leaseMs) : settleSurely(parts, ref, ended);
}

/** What was done outside is done, so its result is not given up because the database was away for a moment. */
async function settleSurely(parts: HereParts, ref: AttemptRef, ended: Ended): Promise<Turn> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await parts.database.transaction((tx) => settleHere(tx, parts, ref, ended));
    } catch (error) {
      if (tries >= settleTries) throw error;
      parts.log.warn({ error, taskId: ref.task_id }, 'cannot settle an attempt yet');
      await new Promise((resolve) => setTimeout(resolve, settleAgainMs * tries));
    }
  }
}

async function settleHere(
  tx: Transaction,
  parts: HereParts,
  ref: AttemptRef,
  { evidence, hasEnded }: Ended,
): Promise<Turn> {
  const current = await lockCurrent(tx, ref);
  if (!current || current.attempt.state === 'settled') return done();
  const { task } = current;
  // What was done before the stop came stays done; what never ended is no proof.
  const isStopped = task.state === 'stopping' && evidence.failure !== null && hasEnded;
  const proven = isStopped ? { ...evidence, stop: endedNow(parts.clock) } : evidence;
  return done(await settleAttempt(tx, parts, task, proven));
}

async function take(tx: Transaction, parts: HereParts, ref: AttemptRef): Promise<Turn | Taken> {
  const current = await lockCurrent(tx, ref);
  if (!current || current.attempt.state === 'settled') return done();
  const { task, attempt } = current;
  const now = parts.clock.now();
  const takenMs = (attempt.leaseUntil?.getTime() ?? 0) - now.getTime();
  if (takenMs > 0) return wait(takenMs);
  if (task.state === 'stopping') {
    const evidence = attempt.leasedAt === null ? nothingRan(parts.clock) : failedEvidence(processGone);
    return done(await settleAttempt(tx, parts, task, evidence));
  }
  await changeAttempt(tx, task.id, attempt.number, { lease_until: leaseEnd(parts.clock), leased_at: now });
  if (task.state === 'starting') await beginRunning(tx, task, now);
  await parts.audit.append(tx, {
    actor: 'service',
    action: 'task.leased',
    ...auditOf(task),
    outcome: 'success',
    data: { attempt: attempt.number, agent: attempt.agent },
  });
  return { task, takenAt: now.getTime(), dueAt: (attempt.runningAt ?? now).getTime() + task.timeoutMs };
}

const leaseEnd = (clock: Clock): Date => new Date(clock.now().getTime() + timing.leaseMs);

async function work(parts: HereParts, agent: Agent, ref: AttemptRef, taken: Taken): Promise<Ended> {
  const { task } = taken;
  const end = new AbortController();
  const { beating, givenUp, isLost } = keepBeating(parts, ref, taken, end);
  try {
    mustBeTrusted(task);
    const result = await Promise.race([agent.execute(asAgentTask(task), { signal: end.signal }), givenUp]);
    return { evidence: evidenceOf(result), hasEnded: true, isLost: false };
  } catch (error) {
    const { failure, objects } = failureOf(parts, task, error);
    const evidence = { ...failedEvidence(failure), ...(objects.length > 0 ? { objects } : {}) };
    return { evidence, hasEnded: !(error instanceof NeverEnded), isLost: isLost() };
  } finally {
    clearInterval(beating);
  }
}

/** An attempt as this process holds it. */
interface Hold {
  readonly beating: ReturnType<typeof setInterval>;
  /** Rejects when the agent has not ended although it was told to. */
  readonly givenUp: Promise<never>;
  /** Whether the attempt cannot be held any longer. */
  isLost(): boolean;
}

/**
 * Holds the attempt until its work has ended: `end` aborts when that is to end, or when it cannot be held any longer.
 *
 * Work that was told to stop is held on, because nobody else may begin it while it ends.
 */
function keepBeating(parts: HereParts, ref: AttemptRef, { takenAt, dueAt }: Taken, end: AbortController): Hold {
  let heldAt = takenAt;
  let toldAt: number | null = null;
  let isLost = false;
  let isBeating = false;
  let giveUp: (error: Error) => void = () => undefined;
  const givenUp = new Promise<never>((_resolve, reject) => (giveUp = reject));
  givenUp.catch(() => undefined);
  const neverEnded = (): void => giveUp(new NeverEnded('AgentError', 'The agent did not end when it was told to.'));

  function tick(): void {
    const now = parts.clock.now().getTime();
    if (now - heldAt > silenceMs && !isLost) {
      isLost = true;
      end.abort(handedOver);
      setTimeout(neverEnded, endMs).unref();
    }
    if (toldAt !== null && now - toldAt > stopMs) neverEnded();
    if (isBeating || isLost) return;
    isBeating = true;
    beat(parts, ref, dueAt)
      .then((stand) => {
        if (stand !== 'gone') heldAt = now;
        if (stand === 'wanted') return;
        toldAt ??= now;
        end.abort();
      })
      .catch((error: unknown) => parts.log.warn({ error, taskId: ref.task_id }, 'cannot hold an attempt'))
      .finally(() => (isBeating = false));
  }

  return { beating: setInterval(tick, beatMs), givenUp, isLost: () => isLost };
}

/** Nobody can be asked here, so what changes things outside must have been trusted when it was submitted. */
function mustBeTrusted({ agent, action, profile }: TaskRecord): void {
  const known = catalogue[agent]?.find(({ name }) => name === action);
  const why = known ? profileRefusal(known, profile) : null;
  if (why !== null) throw new AgentFailure('ContextError', why);
}

class NeverEnded extends AgentFailure {}

/** Holds the attempt for longer. `ends`: it is to end; `gone`: somebody else has settled it. */
const beat = (parts: HereParts, ref: AttemptRef, dueAt: number): Promise<'wanted' | 'ends' | 'gone'> =>
  parts.database.transaction(async (tx) => {
    const current = await lockCurrent(tx, ref);
    if (!current || current.attempt.state === 'settled') return 'gone';
    await changeAttempt(tx, ref.task_id, ref.attempt, { lease_until: leaseEnd(parts.clock) });
    if (current.task.state === 'stopping') return 'ends';
    if (parts.clock.now().getTime() < dueAt) return 'wanted';
    await askToStop(tx, parts, current.task, 'Timeout', { actor: 'service', requestId: null });
    return 'ends';
  });

/** The text goes on to later steps, so it is cut like a harness's last message. */
const evidenceOf = ({ output, objects }: TaskResult): Evidence => ({
  ...failedEvidence({ reason: 'AgentError', message: '', retryable: false }),
  failure: null,
  last_message: { finish: 'stop', error: null, text: output.slice(0, 32_768) },
  objects,
});

function failureOf(
  parts: HereParts,
  task: TaskRecord,
  error: unknown,
): { readonly failure: NonNullable<Evidence['failure']>; readonly objects: AgentFailure['objects'] } {
  if (error instanceof AgentFailure) {
    const { reason, message, retryable, objects } = error;
    return { failure: { reason, message, retryable }, objects };
  }
  parts.log.error({ error, taskId: task.id }, 'an agent of the service broke');
  const message = 'The agent broke while it worked.';
  return { failure: { reason: 'AgentError', message, retryable: true }, objects: [] };
}

const endedNow = (clock: Clock): NonNullable<Evidence['stop']> => ({
  stopped_at: clock.now().toISOString(),
  method: 'already_gone',
  processes_left: 0,
  tokens_after_stop: 0,
});

const processGone = {
  reason: 'StopUnproven',
  message: 'The process that worked on it is gone, and nobody saw its work end.',
  retryable: false,
} as const;

/** A stop of something that never reached anybody needs no more proof than that. */
export const nothingRan = (clock: Clock): Evidence => ({
  ...failedEvidence({ reason: 'UserStopped', message: 'Stopped before it began.', retryable: false }),
  stop: endedNow(clock),
});
