import { sql } from 'kysely';
import type { Database } from '../platform/database.ts';

/** What tells one sort of work from another, as far as its cost goes. */
export interface WorkKind {
  readonly agent: string;
  readonly action: string;
  readonly model: string;
}

/** Of ten finished tasks, what the cheapest, the middle and the dearest but one used, about. */
export interface Range {
  readonly low: number;
  readonly likely: number;
  readonly high: number;
}

/** What finished tasks of one kind used, all attempts together. */
export interface KindHistory extends WorkKind {
  /** How many tasks this is made from. */
  readonly tasks: number;
  readonly tokens: Range;
  /** Integer micro-USD; null where no task of the kind has a cost that is known in full. */
  readonly costMicroUsd: Range | null;
}

/** Tasks of one kind that are looked at, the newest first: older ones ran with other prompts and prices. */
const mostTasks = 200;

interface Row extends WorkKind {
  tasks: number;
  tokens: number[];
  cost: number[] | null;
}

/**
 * The history of these kinds in an organization; a kind without any is left out.
 *
 * Counted are tasks that came to an end of their own; not one that somebody stopped, which says nothing of what the whole
 * would have used, nor one that failed before it called a model. Of money only those count whose every call has a known price.
 */
export async function historyOf(
  database: Pick<Database, 'as'>,
  organizationId: string,
  kinds: readonly WorkKind[],
): Promise<readonly KindHistory[]> {
  if (kinds.length === 0) return [];
  const wanted = kinds.map(({ agent, action, model }) => sql`(${agent}, ${action}, ${model})`);
  const { rows } = await sql<Row>`
    with recent as (
      select agent, action, model, usage, row_number() over (partition by agent, action, model order by id desc) as place
        from task
       where organization_id = ${organizationId} and state = 'finished' and usage is not null
         and (outcome in ('succeeded', 'no_change')
              or (outcome in ('failed', 'timed_out') and (usage->>'calls')::bigint > 0))
         and (agent, action, model) in (${sql.join(wanted)})
    ), used as (
      select agent, action, model,
             (usage->>'input_tokens')::bigint + (usage->>'cached_tokens')::bigint
               + (usage->>'output_tokens')::bigint + (usage->>'reasoning_tokens')::bigint as tokens,
             case when coalesce((usage->>'unpriced_calls')::bigint, 0) = 0
                  then (usage->>'cost_micro_usd')::bigint end as cost
        from recent where place <= ${mostTasks}
    )
    select agent, action, model, count(*)::int as tasks,
           percentile_disc(array[0.1, 0.5, 0.9]) within group (order by tokens)::float8[] as tokens,
           percentile_disc(array[0.1, 0.5, 0.9]) within group (order by cost)::float8[] as cost
      from used group by agent, action, model`.execute(database.as<unknown>());
  return rows.map(({ agent, action, model, tasks, tokens, cost }) => ({
    agent,
    action,
    model,
    tasks,
    tokens: rangeOf(tokens) ?? { low: 0, likely: 0, high: 0 },
    costMicroUsd: rangeOf(cost),
  }));
}

function rangeOf(percentiles: readonly (number | null)[] | null): Range | null {
  const [low, likely, high] = percentiles ?? [];
  return low == null || likely == null || high == null ? null : { low, likely, high };
}
