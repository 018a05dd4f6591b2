import { sql, type Kysely } from 'kysely';
import type { Usage } from '../../modules/contract.ts';
import type { FaultCode } from './faults.ts';
import type { TaskIdentity } from './gateway-store.ts';
import type { Reservation } from './reservation.ts';
import type { ReportedUsage, Tokens } from './usage.ts';

type Tables = Kysely<unknown>;

export type CallStatus = 'succeeded' | 'failed' | 'disconnected' | 'stopped';

/**
 * `provider` the provider named it · `prices` from our list · `none` nothing was used ·
 * `estimate` the most that it can have been, since the call ended before its usage was reported ·
 * `unknown` the cost is null: no price is known.
 */
export type CostSource = 'provider' | 'prices' | 'none' | 'estimate' | 'unknown';

export interface CallEnd {
  readonly id: string;
  readonly finishedAt: Date;
  readonly status: CallStatus;
  /** Who answered in the end; a fallback may have. */
  readonly model: string;
  readonly finishReason: string | null;
  readonly tokens: Tokens;
  /** The tokens are a bound, because the provider reported none, or not all. */
  readonly isEstimate: boolean;
  readonly costMicroUsd: number | null;
  readonly costSource: CostSource;
  readonly errorCode: FaultCode | null;
  readonly toolCalls: number;
  readonly callSignature: string | null;
  readonly generationId: string | null;
}

/**
 * What a task used. `unpriced_calls` are missing in `cost_micro_usd`, because nobody knows their cost; `estimated_calls`
 * are in it with the most that they can have used.
 */
export interface GatewayUsage extends Usage {
  readonly unpriced_calls: number;
  readonly estimated_calls: number;
  readonly tool_calls: number;
}

/** Writes the row of a call that begins, with what is held for it. */
export async function insertCall(
  db: Tables,
  call: {
    readonly id: string;
    readonly identity: TaskIdentity;
    readonly model: string;
    readonly reserved: Reservation;
    readonly now: Date;
  },
): Promise<void> {
  const { id, identity, model, reserved, now } = call;
  await sql`
    insert into outrigger.model_call
      (id, task_id, attempt, workspace_id, owner_id, organization_id, model, started_at, status, cost_source,
       reserved_input, reserved_output, reserved_micro_usd)
    values (${id}, ${identity.taskId}, ${identity.attempt}, ${identity.workspaceId}, ${identity.ownerId},
            ${identity.organizationId}, ${model}, ${now}, 'open', 'unknown',
            ${reserved.input}, ${reserved.output}, ${reserved.microUsd})`.execute(db);
}

/** Closes the row of a call once; tokens of a call that ended after its task's token was revoked are counted apart. */
export async function closeCall(db: Tables, end: CallEnd): Promise<void> {
  const { tokens } = end;
  // What nobody reported proves no token after a stop; the stop itself ended the call.
  const reported = end.isEstimate ? 0 : tokens.input + tokens.cached + tokens.output + tokens.reasoning;
  await sql`
    update outrigger.model_call as call
    set finished_at = ${end.finishedAt}, status = ${end.status}, finish_reason = ${end.finishReason},
        model = ${end.model}, input_tokens = ${tokens.input}, cached_tokens = ${tokens.cached},
        output_tokens = ${tokens.output}, reasoning_tokens = ${tokens.reasoning}, is_estimate = ${end.isEstimate},
        cost_micro_usd = ${end.costMicroUsd}, cost_source = ${end.costSource}, error_code = ${end.errorCode},
        tool_calls = ${end.toolCalls}, call_signature = ${end.callSignature}, generation_id = ${end.generationId},
        tokens_after_revoke = case when exists (
          select from outrigger.task_token as token
          where token.task_id = call.task_id and token.attempt = call.attempt and token.revoked_at < ${end.finishedAt}
        ) then ${reported}::bigint else 0 end
    where id = ${end.id} and status in ('open', 'lost')`.execute(db);
}

/**
 * Calls that began before `before` and never ended, because their process was killed: they count as what was held
 * for them.
 */
export async function markLostCalls(db: Tables, before: Date, now: Date): Promise<number> {
  const result = await sql`
    update outrigger.model_call
    set status = 'lost', finished_at = ${now}, is_estimate = true,
        input_tokens = reserved_input, cached_tokens = 0, output_tokens = reserved_output, reasoning_tokens = 0,
        cost_micro_usd = reserved_micro_usd,
        cost_source = case when reserved_micro_usd is null then 'unknown' else 'estimate' end
    where status = 'open' and started_at < ${before}`.execute(db);
  return Number(result.numAffectedRows ?? 0);
}

/** Signatures of the tool calls that the last answers of an attempt asked for, oldest first. */
export async function lastSignatures(db: Tables, taskId: string, attempt: number, atMost: number): Promise<string[]> {
  const { rows } = await sql<{ call_signature: string }>`
    select call_signature from outrigger.model_call
    where task_id = ${taskId} and attempt = ${attempt} and call_signature is not null
    order by id desc limit ${atMost}`.execute(db);
  return rows.map((row) => row.call_signature).reverse();
}

export async function callsSince(db: Tables, taskId: string, attempt: number, since: Date): Promise<number> {
  const { rows } = await sql<{ calls: number }>`
    select count(*)::bigint as calls from outrigger.model_call
    where task_id = ${taskId} and attempt = ${attempt} and started_at > ${since}`.execute(db);
  return rows[0]?.calls ?? 0;
}

/** A call whose provider may know more about it by now. */
export interface Recallable {
  readonly id: string;
  readonly organization_id: string;
  readonly owner_id: string;
  readonly workspace_id: string;
  readonly task_id: string;
  readonly attempt: number;
  readonly model: string;
  readonly generation_id: string;
}

/** Counts a try for each, so that a provider which never knows is not asked for ever. */
export async function takeRecallable(
  db: Tables,
  { now, recallsAtMost }: { readonly now: Date; readonly recallsAtMost: number },
): Promise<readonly Recallable[]> {
  const { rows } = await sql<Recallable>`
    update outrigger.model_call set recalls = recalls + 1
    where id in (
      select id from outrigger.model_call
      where is_estimate and generation_id is not null and recalls < ${recallsAtMost}
        and finished_at <= ${now}::timestamptz - make_interval(secs => 5)
      order by finished_at limit 50 for update skip locked
    )
    returning id, organization_id, owner_id, workspace_id, task_id, attempt, model, generation_id`.execute(db);
  return rows;
}

/** Puts the provider's own figures in the place of an estimate. */
export async function settleRecalled(
  db: Tables,
  id: string,
  { tokens }: Pick<ReportedUsage, 'tokens'>,
  cost: { readonly microUsd: number | null; readonly source: CostSource },
): Promise<void> {
  await sql`
    update outrigger.model_call
    set input_tokens = ${tokens.input}, cached_tokens = ${tokens.cached}, output_tokens = ${tokens.output},
        reasoning_tokens = ${tokens.reasoning}, is_estimate = false,
        cost_micro_usd = ${cost.microUsd}, cost_source = ${cost.source}
    where id = ${id} and is_estimate`.execute(db);
}

/** The sums of a `GatewayUsage` over rows of `model_call`. */
export const usageColumns = sql.raw(`
  coalesce(sum(input_tokens), 0)::bigint as input_tokens,
  coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
  coalesce(sum(output_tokens), 0)::bigint as output_tokens,
  coalesce(sum(reasoning_tokens), 0)::bigint as reasoning_tokens,
  count(*)::bigint as calls,
  coalesce(sum(tool_calls), 0)::bigint as tool_calls,
  coalesce(sum(cost_micro_usd), 0)::bigint as cost_micro_usd,
  (count(*) filter (where cost_micro_usd is null))::bigint as unpriced_calls,
  (count(*) filter (where is_estimate))::bigint as estimated_calls`);

export async function sumUsage(db: Tables, taskId: string): Promise<GatewayUsage> {
  const { rows } = await sql<GatewayUsage>`
    select ${usageColumns} from outrigger.model_call where task_id = ${taskId}`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('an aggregate without group by gives one row');
  return row;
}

export async function sumTokensAfterRevoke(db: Tables, taskId: string): Promise<number> {
  const result = await sql<{ total: number }>`
    select coalesce(sum(tokens_after_revoke), 0)::bigint as total
    from outrigger.model_call where task_id = ${taskId}`.execute(db);
  return result.rows[0]?.total ?? 0;
}
