import { sql, type Kysely } from 'kysely';
import type { Usage } from '../../modules/contract.ts';
import type { FaultCode } from './faults.ts';
import type { Tokens } from './usage.ts';

/** Whom a task token speaks for. */
export interface TaskIdentity {
  readonly taskId: string;
  readonly attempt: number;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  /** The model of the task; an alias or an empty name means the configured one. */
  readonly model: string;
  /** What this task may name, within what the gateway offers; left out, all of that. */
  readonly allowedModels?: readonly string[];
  /** What all attempts of the task together may cost; left out, as much as it takes. */
  readonly budgetMicroUsd?: number;
}

export type CallStatus = 'succeeded' | 'failed' | 'disconnected' | 'stopped';

/**
 * `provider` the provider named it · `prices` from our list · `none` nothing was used ·
 * `unknown` the cost is null: no price is known, or the call ended before usage was reported.
 */
export type CostSource = 'provider' | 'prices' | 'none' | 'unknown';

export interface CallEnd {
  readonly id: string;
  readonly finishedAt: Date;
  readonly status: CallStatus;
  readonly finishReason: string | null;
  /** Null when the provider reported none. */
  readonly tokens: Tokens | null;
  readonly costMicroUsd: number | null;
  readonly costSource: CostSource;
  readonly errorCode: FaultCode | null;
}

/** What a task used. `unpriced_calls` of the calls are missing in `cost_micro_usd` because nobody knows their cost. */
export interface GatewayUsage extends Usage {
  readonly unpriced_calls: number;
}

interface TaskTokenTable {
  hash: Buffer;
  task_id: string;
  attempt: number;
  workspace_id: string;
  owner_id: string;
  organization_id: string;
  model: string;
  allowed_models: string[] | null;
  budget_micro_usd: number | null;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  calls: number;
  limit_reached_at: Date | null;
}

export interface GatewayTables {
  task_token: TaskTokenTable;
}

type Tables = Kysely<GatewayTables>;

export async function insertToken(
  db: Tables,
  token: TaskIdentity & { readonly hash: Buffer; readonly createdAt: Date; readonly expiresAt: Date },
): Promise<void> {
  await db
    .insertInto('task_token')
    .values({
      hash: token.hash,
      task_id: token.taskId,
      attempt: token.attempt,
      workspace_id: token.workspaceId,
      owner_id: token.ownerId,
      organization_id: token.organizationId,
      model: token.model,
      allowed_models: token.allowedModels === undefined ? null : [...token.allowedModels],
      budget_micro_usd: token.budgetMicroUsd ?? null,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: null,
      calls: 0,
      limit_reached_at: null,
    })
    .execute();
}

export async function revokeTokens(db: Tables, taskId: string, now: Date): Promise<void> {
  await db
    .updateTable('task_token')
    .set({ revoked_at: now })
    .where('task_id', '=', taskId)
    .where('revoked_at', 'is', null)
    .execute();
}

export async function findToken(db: Tables, hash: Buffer, now: Date): Promise<TaskIdentity | undefined> {
  const row = await db
    .selectFrom('task_token')
    .selectAll()
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    taskId: row.task_id,
    attempt: row.attempt,
    workspaceId: row.workspace_id,
    ownerId: row.owner_id,
    organizationId: row.organization_id,
    model: row.model,
    ...(row.allowed_models === null ? {} : { allowedModels: row.allowed_models }),
  };
}

/**
 * Counts one call against the attempt and writes its row, in one statement.
 *
 * Shape    `open`; `limit` when the attempt has made `maximumCalls` or its task has spent its budget; `ended` when its
 *          token was revoked or has expired.
 * Safety   calls at the same moment never pass the limit of calls together: the token's row is locked by the update.
 *          What a call costs is known when it has ended, so those that are open may pass the budget; the next may not.
 */
export async function openCall(
  db: Tables,
  call: {
    readonly id: string;
    readonly identity: TaskIdentity;
    readonly model: string;
    readonly now: Date;
    readonly maximumCalls: number;
  },
): Promise<'open' | 'limit' | 'ended'> {
  const { id, identity, model, now, maximumCalls } = call;
  const result = await sql<{ opened: boolean }>`
    with counted as (
      update outrigger.task_token
      set calls = least(calls + 1, ${maximumCalls}),
          limit_reached_at = case
            when calls >= ${maximumCalls} or budget_micro_usd <= (
              select coalesce(sum(cost_micro_usd), 0) from outrigger.model_call where task_id = ${identity.taskId})
            then coalesce(limit_reached_at, ${now}) else limit_reached_at end
      where task_id = ${identity.taskId} and attempt = ${identity.attempt} and revoked_at is null and expires_at > ${now}
      returning task_id, attempt, workspace_id, owner_id, organization_id, limit_reached_at is null as opened
    ), written as (
      insert into outrigger.model_call
        (id, task_id, attempt, workspace_id, owner_id, organization_id, model, started_at, status, cost_source)
      select ${id}, task_id, attempt, workspace_id, owner_id, organization_id, ${model}, ${now}, 'open', 'unknown'
      from counted where opened
    )
    select opened from counted`.execute(db);
  const row = result.rows[0];
  if (row === undefined) return 'ended';
  return row.opened ? 'open' : 'limit';
}

/** Closes the row of a call once; tokens that were reported after the task's token was revoked are counted apart. */
export async function closeCall(db: Tables, end: CallEnd): Promise<void> {
  const { tokens } = end;
  const total = tokens === null ? 0 : tokens.input + tokens.cached + tokens.output + tokens.reasoning;
  await sql`
    update outrigger.model_call as call
    set finished_at = ${end.finishedAt}, status = ${end.status}, finish_reason = ${end.finishReason},
        input_tokens = ${tokens?.input ?? null}, cached_tokens = ${tokens?.cached ?? null},
        output_tokens = ${tokens?.output ?? null}, reasoning_tokens = ${tokens?.reasoning ?? null},
        cost_micro_usd = ${end.costMicroUsd}, cost_source = ${end.costSource}, error_code = ${end.errorCode},
        tokens_after_revoke = case when exists (
          select from outrigger.task_token as token
          where token.task_id = call.task_id and token.attempt = call.attempt and token.revoked_at < ${end.finishedAt}
        ) then ${total}::bigint else 0 end
    where id = ${end.id} and status in ('open', 'lost')`.execute(db);
}

/** Calls that began before `before` and never ended, because their process was killed: their cost stays unknown. */
export async function markLostCalls(db: Tables, before: Date, now: Date): Promise<number> {
  const result = await sql`
    update outrigger.model_call set status = 'lost', finished_at = ${now}
    where status = 'open' and started_at < ${before}`.execute(db);
  return Number(result.numAffectedRows ?? 0);
}

export async function sumUsage(db: Tables, taskId: string): Promise<GatewayUsage> {
  const result = await sql<Record<keyof GatewayUsage, number>>`
    select coalesce(sum(input_tokens), 0)::bigint as input_tokens,
           coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
           coalesce(sum(output_tokens), 0)::bigint as output_tokens,
           coalesce(sum(reasoning_tokens), 0)::bigint as reasoning_tokens,
           count(*)::bigint as calls,
           coalesce(sum(cost_micro_usd), 0)::bigint as cost_micro_usd,
           (count(*) filter (where cost_micro_usd is null))::bigint as unpriced_calls
    from outrigger.model_call where task_id = ${taskId}`.execute(db);
  const row = result.rows[0];
  if (row === undefined) throw new Error('an aggregate without group by gives one row');
  return row;
}

export async function sumTokensAfterRevoke(db: Tables, taskId: string): Promise<number> {
  const result = await sql<{ total: number }>`
    select coalesce(sum(tokens_after_revoke), 0)::bigint as total
    from outrigger.model_call where task_id = ${taskId}`.execute(db);
  return result.rows[0]?.total ?? 0;
}

export async function hasReachedCallLimit(db: Tables, taskId: string, attempt: number): Promise<boolean> {
  const row = await db
    .selectFrom('task_token')
    .select('limit_reached_at')
    .where('task_id', '=', taskId)
    .where('attempt', '=', attempt)
    .where('limit_reached_at', 'is not', null)
    .executeTakeFirst();
  return row !== undefined;
}
