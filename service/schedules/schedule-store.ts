import { sql, type Selectable } from 'kysely';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import type { ScheduleSpec } from './cron-task.ts';
import type { Schedule } from './schedule.ts';
import type { GivenWork } from './work.ts';

interface ScheduleTable {
  id: string;
  name: string;
  owner_id: string;
  owner_name: string;
  organization_id: string;
  metadata: unknown;
  spec: unknown;
  work: unknown;
  next_run_at: Date | null;
  retry_at: Date | null;
  last_run_at: Date | null;
  suspended_at: Date | null;
  suspended_reason: string | null;
  refusals: number;
  created_at: Date;
  updated_at: Date;
}

interface Tables {
  schedule: ScheduleTable;
}

const toSchedule = (row: Selectable<ScheduleTable>): Schedule => ({
  id: row.id,
  name: row.name,
  ownerId: row.owner_id,
  ownerName: row.owner_name,
  organizationId: row.organization_id,
  metadata: row.metadata as Schedule['metadata'],
  spec: row.spec as ScheduleSpec,
  work: row.work as GivenWork,
  nextRunAt: row.next_run_at,
  retryAt: row.retry_at,
  lastRunAt: row.last_run_at,
  suspendedAt: row.suspended_at,
  suspendedReason: row.suspended_reason,
  refusals: row.refusals,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** By owner and name; `lock` holds it until the transaction ends. */
export async function findSchedule(
  database: Pick<Database, 'as'>,
  ownerId: string,
  name: string,
  lock = false,
): Promise<Schedule | null> {
  const query = database
    .as<Tables>()
    .selectFrom('schedule')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .where('name', '=', name);
  const row = await (lock ? query.forUpdate() : query).executeTakeFirst();
  return row ? toSchedule(row) : null;
}

/** Those that are due by `now`, the longest waiting first. */
export async function dueSchedules(database: Database, now: Date, limit: number): Promise<readonly Schedule[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('schedule')
    .selectAll()
    .where('suspended_at', 'is', null)
    .where(sql<Date>`coalesce(retry_at, next_run_at)`, '<=', now)
    .orderBy(sql`coalesce(retry_at, next_run_at)`)
    .limit(limit)
    .execute();
  return rows.map(toSchedule);
}

/** Holds a schedule if it is still as it was read and nobody else holds it; else null: somebody else decides. */
export async function holdUnchanged(tx: Transaction, seen: Schedule): Promise<Schedule | null> {
  const row = await tx
    .as<Tables>()
    .selectFrom('schedule')
    .selectAll()
    .where('id', '=', seen.id)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (!row) return null;
  const now = toSchedule(row);
  const isSame = Number(now.nextRunAt) === Number(seen.nextRunAt) && Number(now.updatedAt) === Number(seen.updatedAt);
  return isSame && now.suspendedAt === null ? now : null;
}

export async function listSchedules(
  database: Database,
  page: { readonly ownerId: string; readonly limit: number; readonly cursor?: string | undefined },
): Promise<readonly Schedule[]> {
  let query = database.as<Tables>().selectFrom('schedule').selectAll().where('owner_id', '=', page.ownerId);
  if (page.cursor !== undefined) query = query.where('id', '<', page.cursor);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(toSchedule);
}

export async function countSchedules(tx: Transaction, ownerId: string): Promise<number> {
  const { count } = await tx
    .as<Tables>()
    .selectFrom('schedule')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('owner_id', '=', ownerId)
    .executeTakeFirstOrThrow();
  return count;
}

/** Writes a schedule, new or changed. Two at once with one name: the later one fails on the constraint. */
export async function saveSchedule(tx: Transaction, schedule: Schedule): Promise<void> {
  const { id, createdAt, ...rest } = schedule;
  const values = {
    name: rest.name,
    owner_id: rest.ownerId,
    owner_name: rest.ownerName,
    organization_id: rest.organizationId,
    metadata: storableJson(rest.metadata),
    spec: storableJson(rest.spec),
    work: storableJson(rest.work),
    next_run_at: rest.nextRunAt,
    retry_at: rest.retryAt,
    last_run_at: rest.lastRunAt,
    suspended_at: rest.suspendedAt,
    suspended_reason: rest.suspendedReason,
    refusals: rest.refusals,
    updated_at: rest.updatedAt,
  };
  await tx
    .as<Tables>()
    .insertInto('schedule')
    .values({ id, created_at: createdAt, ...values })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute();
}

/** Says when a due run is tried again, unless it was decided meanwhile. */
export async function postpone(database: Database, seen: Schedule, retryAt: Date): Promise<void> {
  await database
    .as<Tables>()
    .updateTable('schedule')
    .set({ retry_at: retryAt })
    .where('id', '=', seen.id)
    .where('next_run_at', '=', seen.nextRunAt)
    .execute();
}

/** Waits for whoever else writes this name of this owner: a row that is not there yet cannot be locked. */
export async function lockName(tx: Transaction, ownerId: string, name: string): Promise<void> {
  const key = `schedule:${ownerId}:${name}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx.as<unknown>());
}

export async function deleteSchedule(tx: Transaction, id: string): Promise<void> {
  await tx.as<Tables>().deleteFrom('schedule').where('id', '=', id).execute();
}
