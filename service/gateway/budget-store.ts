import { sql, type Kysely } from 'kysely';
import {
  periodStart,
  type Amounts,
  type BudgetKind,
  type Limit,
  type Period,
  type Scope,
  type Spending,
} from './budget.ts';
import type { TaskIdentity } from './gateway-store.ts';

type Tables = Kysely<unknown>;

/** A budget as an organization's admin set it. `target` is a user's id, or `*` for each. */
export interface Budget extends Limit {
  readonly organizationId: string;
}

interface BudgetRow extends Record<BudgetKind, number | null> {
  organization_id: string;
  scope: Scope;
  target: string;
  period: Period;
}

const fromRow = ({ organization_id, scope, target, period, ...row }: BudgetRow): Budget => ({
  organizationId: organization_id,
  scope,
  target,
  period,
  atMost: { tokens: row.tokens, micro_usd: row.micro_usd, seconds: row.seconds, tool_calls: row.tool_calls },
});

export async function saveBudget(db: Tables, { organizationId, scope, target, period, atMost }: Budget): Promise<void> {
  await sql`
    insert into outrigger.budget (organization_id, scope, target, period, tokens, micro_usd, seconds, tool_calls)
    values (${organizationId}, ${scope}, ${target}, ${period},
            ${atMost.tokens}, ${atMost.micro_usd}, ${atMost.seconds}, ${atMost.tool_calls})
    on conflict (organization_id, scope, target) do update
      set period = excluded.period, tokens = excluded.tokens, micro_usd = excluded.micro_usd,
          seconds = excluded.seconds, tool_calls = excluded.tool_calls`.execute(db);
}

/** False when there was none. */
export async function deleteBudget(
  db: Tables,
  { organizationId, scope, target }: Pick<Budget, 'organizationId' | 'scope' | 'target'>,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    delete from outrigger.budget
    where organization_id = ${organizationId} and scope = ${scope} and target = ${target}`.execute(db);
  return (numAffectedRows ?? 0n) > 0n;
}

export async function budgetsOf(db: Tables, organizationId: string): Promise<readonly Budget[]> {
  const { rows } = await sql<BudgetRow>`
    select * from outrigger.budget where organization_id = ${organizationId} order by scope, target`.execute(db);
  return rows.map(fromRow);
}

/** The limits that hold for a task: its own, and those of its organization; a user's own budget goes before that of each. */
export async function limitsFor(db: Tables, identity: TaskIdentity): Promise<readonly Limit[]> {
  const { organizationId, ownerId, taskId } = identity;
  const { rows } = await sql<BudgetRow>`
    select * from outrigger.budget
    where organization_id = ${organizationId} and target in ('*', ${ownerId})`.execute(db);
  const all = rows.map(fromRow);
  const of = (scope: Scope, target: string): Budget | undefined =>
    all.find((one) => one.scope === scope && one.target === target);
  const named: (readonly [Limit | undefined, string])[] = [
    [of('organization', '*'), organizationId],
    [of('user', ownerId) ?? of('user', '*'), ownerId],
    [of('task', '*'), taskId],
    [ownLimit(identity), taskId],
  ];
  return named.flatMap(([limit, target]) => (limit === undefined ? [] : [{ ...limit, target }]));
}

function ownLimit({ taskId, budgetMicroUsd, budgetTokens, budgetToolCalls }: TaskIdentity): Limit | undefined {
  const atMost = {
    tokens: budgetTokens ?? null,
    micro_usd: budgetMicroUsd ?? null,
    seconds: null,
    tool_calls: budgetToolCalls ?? null,
  };
  if (Object.values(atMost).every((one) => one === null)) return undefined;
  return { scope: 'task', target: taskId, period: 'total', atMost };
}

const columns: Readonly<Record<Scope, string>> = {
  organization: 'organization_id',
  user: 'owner_id',
  task: 'task_id',
};

type SpendingRow = Record<`spent_${BudgetKind}` | `reserved_${Exclude<BudgetKind, 'seconds' | 'tool_calls'>}`, number>;

/** What a limit's owner has used since its period began, and what is held for calls that are open. */
export async function spendingOf(
  db: Tables,
  organizationId: string,
  { scope, target, period }: Pick<Limit, 'scope' | 'target' | 'period'>,
  now: Date,
): Promise<Spending> {
  const since = periodStart(period, now);
  const column = sql.ref(columns[scope]);
  const { rows } = await sql<SpendingRow>`
    select calls.*, times.spent_seconds from (
      select coalesce(sum(coalesce(input_tokens, 0) + coalesce(cached_tokens, 0) + coalesce(output_tokens, 0)
                          + coalesce(reasoning_tokens, 0)), 0)::bigint as spent_tokens,
             coalesce(sum(cost_micro_usd), 0)::bigint as spent_micro_usd,
             coalesce(sum(tool_calls), 0)::bigint as spent_tool_calls,
             coalesce(sum(reserved_input + reserved_output) filter (where status = 'open'), 0)::bigint as reserved_tokens,
             coalesce(sum(reserved_micro_usd) filter (where status = 'open'), 0)::bigint as reserved_micro_usd
      from outrigger.model_call
      where organization_id = ${organizationId} and ${column} = ${target} and started_at >= ${since}
    ) as calls, (
      select coalesce(sum(extract(epoch from
               least(coalesce(revoked_at, ${now}), expires_at, ${now}) - greatest(created_at, ${since}))), 0)::bigint
             as spent_seconds
      from outrigger.task_token
      where organization_id = ${organizationId} and ${column} = ${target}
        and least(coalesce(revoked_at, ${now}), expires_at) > ${since}
    ) as times`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('an aggregate without group by gives one row');
  const spent: Amounts = {
    tokens: row.spent_tokens,
    micro_usd: row.spent_micro_usd,
    seconds: row.spent_seconds,
    tool_calls: row.spent_tool_calls,
  };
  // How many tools an open call will ask for, nobody can bound; that they pass a limit is found when it has ended.
  return {
    spent,
    reserved: { tokens: row.reserved_tokens, micro_usd: row.reserved_micro_usd, seconds: 0, tool_calls: 0 },
  };
}

/** True for the first who says it in this period. */
export async function markWarned(
  db: Tables,
  organizationId: string,
  limit: Limit,
  kind: BudgetKind,
  now: Date,
): Promise<boolean> {
  const key = `${organizationId}:${limit.scope}:${limit.target}:${limit.period}:${limit.atMost[kind]}`;
  const { numAffectedRows } = await sql`
    insert into outrigger.budget_warning (key, period_start, kind, at)
    values (${key}, ${periodStart(limit.period, now)}, ${kind}, ${now})
    on conflict do nothing`.execute(db);
  return (numAffectedRows ?? 0n) > 0n;
}
