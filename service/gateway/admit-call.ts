import { sql } from 'kysely';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { loopIn, type BrakeLimits } from './brakes.ts';
import { mayBegin, nearlySpent, spentText, type BudgetKind, type Limit, type Spending } from './budget.ts';
import { limitsFor, markWarned, spendingOf } from './budget-store.ts';
import { callsSince, insertCall, lastSignatures } from './call-store.ts';
import type { GatewayTables, Halt, TaskIdentity } from './gateway-store.ts';
import type { Reservation } from './reservation.ts';
import type { Turns } from './turns.ts';

/** An attempt that may make no more calls and has to be stopped. */
export interface HaltedAttempt extends Halt {
  readonly taskId: string;
  readonly attempt: number;
}

/** A limit of which most is spent. */
export interface BudgetWarning {
  readonly identity: TaskIdentity;
  readonly limit: Limit;
  readonly kind: BudgetKind;
  readonly atMost: number;
}

export interface AdmissionParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'> | null;
  readonly clock: Clock;
  readonly maximumCalls: number;
  readonly brakes: BrakeLimits;
  readonly turns: Turns;
  /** Stops the attempt, with proof. Answers whether it was there to be stopped. */
  readonly onHalt: (halted: HaltedAttempt) => Promise<boolean>;
  /** Told once per limit, kind and period, in the transaction that found out. */
  readonly onWarning: (tx: Transaction, warning: BudgetWarning) => Promise<void>;
}

/** `ended`: the token was revoked or has expired. `wait`: calls that are open may yet use up what is left. */
export type Admission = 'open' | 'ended' | 'wait' | Halt;

interface NewCall {
  readonly id: string;
  readonly identity: TaskIdentity;
  readonly model: string;
  readonly reserved: Reservation;
}

interface LockedToken {
  readonly calls: number;
  readonly halt_reason: Halt['reason'] | null;
  readonly halt_message: string | null;
}

/**
 * Looks whether a call may begin and, if so, writes its row with what is held for it, in one transaction.
 *
 * Safety   calls of one attempt are looked at one by one (its token's row is locked), and where budgets hold also those
 *          of one organization. So however many calls come at once, what is spent and held stays below every limit
 *          before the last of them begins, and only that one can pass it.
 */
export async function admitCall(parts: AdmissionParts, call: NewCall): Promise<Admission> {
  const now = parts.clock.now();
  const { identity } = call;
  return inTurn(parts, identity, async (tx) => {
    const db = tx.as<GatewayTables>();
    // Before the token's row, as after a call: two orders of the same locks would wait for each other.
    const limits = await lockLimits(tx, identity);
    const { rows } = await sql<LockedToken>`
      select calls, halt_reason, halt_message from outrigger.task_token
      where task_id = ${identity.taskId} and attempt = ${identity.attempt} and revoked_at is null and expires_at > ${now}
      for update`.execute(db);
    const token = rows[0];
    if (token === undefined) return 'ended';
    if (token.halt_reason !== null) return { reason: token.halt_reason, message: token.halt_message ?? '' };
    const verdict =
      (await brakeOf(parts, tx, identity, token.calls)) ?? (await budgetVerdict(tx, identity, limits, now));
    if (verdict === 'wait') return 'wait';
    if (verdict !== null) {
      await writeHalt(tx, parts, identity, verdict);
      return verdict;
    }
    await sql`
      update outrigger.task_token set calls = calls + 1
      where task_id = ${identity.taskId} and attempt = ${identity.attempt} and revoked_at is null`.execute(db);
    await insertCall(tx.as(), { ...call, now });
    return 'open';
  });
}

const inTurn = <Result>(
  { database, turns }: AdmissionParts,
  { organizationId }: TaskIdentity,
  work: (tx: Transaction) => Promise<Result>,
): Promise<Result> => turns(organizationId, () => database.transaction(work));

const minuteMs = 60_000;

async function brakeOf(
  { maximumCalls, brakes, clock }: AdmissionParts,
  tx: Transaction,
  { taskId, attempt }: TaskIdentity,
  calls: number,
): Promise<Halt | null> {
  if (calls >= maximumCalls)
    return { reason: 'BudgetExceeded', message: `The attempt made ${maximumCalls} model calls, which is all it may.` };
  const { callsPerMinute } = brakes;
  if (callsPerMinute === 0 || calls < callsPerMinute) return null;
  const recent = await callsSince(tx.as(), taskId, attempt, new Date(clock.now().getTime() - minuteMs));
  if (recent < callsPerMinute) return null;
  return { reason: 'LoopDetected', message: `The attempt made ${callsPerMinute} model calls within a minute.` };
}

async function budgetVerdict(
  tx: Transaction,
  { organizationId }: TaskIdentity,
  limits: readonly Limit[],
  now: Date,
): Promise<Halt | 'wait' | null> {
  const verdict = mayBegin(await spendingsOf(tx, organizationId, limits, now));
  if (verdict === 'wait') return 'wait';
  if (verdict === 'open') return null;
  return { reason: 'BudgetExceeded', message: spentText(verdict.spent, verdict.kind) };
}

/** The limits that hold for a task; where there are any, nobody else of the organization looks at theirs meanwhile. */
async function lockLimits(tx: Transaction, identity: TaskIdentity): Promise<readonly Limit[]> {
  const db = tx.as<unknown>();
  const limits = await limitsFor(db, identity);
  if (limits.length > 0)
    await sql`select pg_advisory_xact_lock(hashtextextended(${`budget:${identity.organizationId}`}, 0))`.execute(db);
  return limits;
}

async function spendingsOf(
  tx: Transaction,
  organizationId: string,
  limits: readonly Limit[],
  now: Date,
): Promise<readonly (readonly [Limit, Spending])[]> {
  const found: [Limit, Spending][] = [];
  for (const limit of limits) found.push([limit, await spendingOf(tx.as(), organizationId, limit, now)]);
  return found;
}

/** Once per attempt; no further call of it begins. */
async function writeHalt(tx: Transaction, parts: AdmissionParts, identity: TaskIdentity, halt: Halt): Promise<boolean> {
  const now = parts.clock.now();
  const { numAffectedRows } = await sql`
    update outrigger.task_token
    set halted_at = ${now}, limit_reached_at = ${now}, halt_reason = ${halt.reason}, halt_message = ${halt.message}
    where task_id = ${identity.taskId} and attempt = ${identity.attempt} and revoked_at is null and halted_at is null`.execute(
    tx.as<unknown>(),
  );
  if (numAffectedRows !== 1n) return false;
  await parts.audit?.append(tx, {
    actor: 'service',
    action: 'attempt.halted',
    target: { type: 'task', id: identity.taskId },
    outcome: 'denied',
    ...placeOf(identity),
    data: { attempt: identity.attempt, reason: halt.reason, message: halt.message },
  });
  return true;
}

const placeOf = ({ ownerId, organizationId, workspaceId }: TaskIdentity) => ({ ownerId, organizationId, workspaceId });

/**
 * Looks at an attempt after a call of it was closed: says once that a budget is nearly spent, and halts a loop.
 *
 * Shape    true when the attempt was halted and somebody stops it.
 */
export async function lookAfterCall(
  parts: AdmissionParts,
  identity: TaskIdentity,
  hasToolCall: boolean,
): Promise<boolean> {
  const halt = await inTurn(parts, identity, async (tx) => {
    await warn(tx, parts, identity);
    const loop = hasToolCall ? await loopOf(tx, parts, identity) : null;
    return loop !== null && (await writeHalt(tx, parts, identity, loop)) ? loop : null;
  });
  if (halt === null) return false;
  return parts.onHalt({ taskId: identity.taskId, attempt: identity.attempt, ...halt });
}

/** Further back nobody looks: the longest honest task was seen to need a quarter of it. */
const signaturesAtMost = 500;

async function loopOf(tx: Transaction, { brakes }: AdmissionParts, identity: TaskIdentity): Promise<Halt | null> {
  const { taskId, attempt } = identity;
  const message = loopIn(await lastSignatures(tx.as(), taskId, attempt, signaturesAtMost), brakes);
  return message === null ? null : { reason: 'LoopDetected', message };
}

async function warn(tx: Transaction, parts: AdmissionParts, identity: TaskIdentity): Promise<void> {
  const now = parts.clock.now();
  const limits = await lockLimits(tx, identity);
  for (const [limit, spending] of await spendingsOf(tx, identity.organizationId, limits, now))
    for (const { kind, atMost } of nearlySpent(limit, spending)) {
      if (!(await markWarned(tx.as(), identity.organizationId, limit, kind, now))) continue;
      await parts.audit?.append(tx, {
        actor: 'service',
        action: 'budget.nearly_spent',
        target: { type: `${limit.scope}_budget`, id: limit.target },
        outcome: 'success',
        ...placeOf(identity),
        data: { kind, at_most: atMost, spent: spending.spent[kind], period: limit.period, task_id: identity.taskId },
      });
      await parts.onWarning(tx, { identity, limit, kind, atMost });
    }
}
