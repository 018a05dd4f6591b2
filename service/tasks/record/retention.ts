import { sql } from 'kysely';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database.ts';
import type { Logger } from '../../platform/logger.ts';
import { auditOf } from '../task.ts';
import { lockTask } from '../task-store.ts';
import { dropArtifactsOf, forgetLostUploads } from './artifact-store.ts';

/** How long the transcript and the files of a finished task are kept where its organization says nothing. */
export const usualTranscriptDays = 90;

const dayMs = 86_400_000;
/** In one run; the rest waits for the next, an hour later. */
const mostTasks = 5_000;
const perLook = 100;

export async function readRetention(database: Pick<Database, 'as'>, organizationId: string): Promise<number> {
  const { rows } = await sql<{ days: number }>`
    select transcript_days as days from retention where organization_id = ${organizationId}`.execute(
    database.as<unknown>(),
  );
  return rows[0]?.days ?? usualTranscriptDays;
}

export async function saveRetention(tx: Transaction, organizationId: string, days: number): Promise<void> {
  await sql`
    insert into retention (organization_id, transcript_days) values (${organizationId}, ${days})
    on conflict (organization_id) do update set transcript_days = excluded.transcript_days`.execute(tx.as<unknown>());
}

/** When the record of a task was deleted; null while it is there. */
export async function recordPrunedAt(database: Pick<Database, 'as'>, taskId: string): Promise<Date | null> {
  const { rows } = await sql<{ at: Date | null }>`
    select record_pruned_at as at from task where id = ${taskId}`.execute(database.as<unknown>());
  return rows[0]?.at ?? null;
}

export interface PruneParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Deletes the transcripts and files of tasks that ended longer ago than their organization keeps them; answers how
 * many. Each leaves one audit event. The task itself stays, with its outcome, its evidence and what it cost.
 */
export async function pruneRecords(parts: PruneParts): Promise<number> {
  const now = parts.clock.now();
  await parts.database.transaction((tx) => forgetLostUploads(tx, new Date(now.getTime() - dayMs)));
  let pruned = 0;
  while (pruned < mostTasks) {
    const ids = await dueTasks(parts.database, now);
    for (const id of ids) pruned += (await parts.database.transaction((tx) => prune(tx, parts, id, now))) ? 1 : 0;
    if (ids.length < perLook) break;
  }
  if (pruned > 0) parts.log.info({ tasks: pruned }, 'old transcripts deleted');
  return pruned;
}

async function dueTasks(database: Database, now: Date): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select t.id from task t left join retention r on r.organization_id = t.organization_id
     where t.state = 'finished' and t.record_pruned_at is null
       and t.finished_at < ${now}::timestamptz - make_interval(days => coalesce(r.transcript_days, ${usualTranscriptDays}))
     order by t.finished_at limit ${perLook}`.execute(database.as<unknown>());
  return rows.map(({ id }) => id);
}

/** False where another process was faster. */
async function prune(tx: Transaction, { audit }: PruneParts, taskId: string, now: Date): Promise<boolean> {
  const task = await lockTask(tx, taskId);
  if (!task || (await recordPrunedAt(tx, taskId)) !== null) return false;
  const days = await readRetention(tx, task.organizationId);
  const { numAffectedRows } = await sql`delete from task_event where task_id = ${taskId}`.execute(tx.as<unknown>());
  const artifacts = await dropArtifactsOf(tx, taskId);
  await sql`update task set record_pruned_at = ${now} where id = ${taskId}`.execute(tx.as<unknown>());
  await audit.append(tx, {
    actor: 'service',
    action: 'task.record_pruned',
    ...auditOf(task),
    outcome: 'success',
    data: { events: Number(numAffectedRows ?? 0n), artifacts, transcript_days: days },
  });
  return true;
}
