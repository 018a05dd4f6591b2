import { sql, type Kysely } from 'kysely';
import { usageColumns, type GatewayUsage } from './call-store.ts';

type Tables = Kysely<unknown>;

/** What usage is summed by, and the column that says it. */
const columns = {
  task: 'task_id',
  user: 'owner_id',
  model: 'model',
  organization: 'organization_id',
  workspace: 'workspace_id',
} as const;
export type UsageBy = keyof typeof columns;
export const usageBys = Object.keys(columns) as [UsageBy, ...UsageBy[]];

/** Which calls are summed; what is left out does not narrow. */
export interface UsageFilter {
  readonly organizationId?: string | undefined;
  readonly ownerId?: string | undefined;
  readonly taskId?: string | undefined;
  readonly model?: string | undefined;
  /** By the moment a call began: from the first, before the second. */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

export interface UsageItem extends GatewayUsage {
  /** An id, or the name of a model. */
  readonly key: string;
}

function where(filter: UsageFilter) {
  const conditions = [
    filter.organizationId && sql`organization_id = ${filter.organizationId}`,
    filter.ownerId && sql`owner_id = ${filter.ownerId}`,
    filter.taskId && sql`task_id = ${filter.taskId}`,
    filter.model && sql`model = ${filter.model}`,
    filter.from && sql`started_at >= ${filter.from}`,
    filter.to && sql`started_at < ${filter.to}`,
  ].filter((one) => typeof one === 'object');
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` and `);
}

/** One page of sums, by key in rising order from the one after `cursor`. */
export async function usageBy(
  db: Tables,
  by: UsageBy,
  filter: UsageFilter,
  page: { readonly limit: number; readonly cursor: string | undefined },
): Promise<readonly UsageItem[]> {
  const key = sql.ref(columns[by]);
  const after = page.cursor === undefined ? sql`true` : sql`${key}::text collate "C" > ${page.cursor}`;
  const { rows } = await sql<UsageItem>`
    select ${key}::text as key, ${usageColumns} from outrigger.model_call
    where ${where(filter)} and ${after}
    group by ${key} order by ${key}::text collate "C" limit ${page.limit}`.execute(db);
  return rows;
}

/** The sum over every call of the filter: what all pages together come to. */
export async function usageTotal(db: Tables, filter: UsageFilter): Promise<GatewayUsage> {
  const { rows } = await sql<GatewayUsage>`
    select ${usageColumns} from outrigger.model_call where ${where(filter)}`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('an aggregate without group by gives one row');
  return row;
}
