import { sql, type Selectable } from 'kysely';
import type { Database, Transaction } from '../platform/database.ts';
import { storableText } from '../platform/storable.ts';
import { readTask } from '../tasks/task-store.ts';
import { readHead } from '../workflows/workflow-store.ts';
import type { RunVerdict, ScheduleRun } from './schedule.ts';

interface RunTable {
  id: string;
  schedule_id: string;
  name: string;
  cause: ScheduleRun['cause'];
  scheduled_at: Date;
  decided_at: Date;
  verdict: RunVerdict;
  reason: ScheduleRun['reason'];
  message: string | null;
  task_id: string | null;
  workflow_id: string | null;
  outcome: string | null;
  ended_at: Date | null;
}

interface Tables {
  schedule_run: RunTable;
}

const toRun = (row: Selectable<RunTable>): ScheduleRun => ({
  id: row.id,
  scheduleId: row.schedule_id,
  name: row.name,
  cause: row.cause,
  scheduledAt: row.scheduled_at,
  decidedAt: row.decided_at,
  verdict: row.verdict,
  reason: row.reason,
  message: row.message,
  taskId: row.task_id,
  workflowId: row.workflow_id,
  outcome: row.outcome,
  endedAt: row.ended_at,
});

/** Stores what was decided about a run. False when something was decided about that moment before. */
export async function insertRun(tx: Transaction, run: Omit<ScheduleRun, 'outcome' | 'endedAt'>): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .as<Tables>()
    .insertInto('schedule_run')
    .values({
      id: run.id,
      schedule_id: run.scheduleId,
      name: run.name,
      cause: run.cause,
      scheduled_at: run.scheduledAt,
      decided_at: run.decidedAt,
      verdict: run.verdict,
      reason: run.reason,
      message: run.message === null ? null : storableText(run.message),
      task_id: run.taskId,
      workflow_id: run.workflowId,
      outcome: null,
      ended_at: null,
    })
    .onConflict((conflict) => conflict.columns(['schedule_id', 'scheduled_at']).doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/** Whether something was decided about that moment. */
export async function isDecided(tx: Transaction, scheduleId: string, scheduledAt: Date): Promise<boolean> {
  const row = await tx
    .as<Tables>()
    .selectFrom('schedule_run')
    .select('id')
    .where('schedule_id', '=', scheduleId)
    .where('scheduled_at', '=', scheduledAt)
    .executeTakeFirst();
  return row !== undefined;
}

/** The runs whose task or workflow is not finished, oldest first; what has ended since is written down on the way. */
export async function unfinishedRuns(
  database: Pick<Database, 'as'>,
  scheduleId: string,
): Promise<readonly ScheduleRun[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('schedule_run')
    .selectAll()
    .where('schedule_id', '=', scheduleId)
    .where('verdict', '=', 'started')
    .where('outcome', 'is', null)
    .orderBy('scheduled_at')
    .execute();
  const unfinished: ScheduleRun[] = [];
  for (const run of rows.map(toRun)) if (!(await noteEnd(database, run))) unfinished.push(run);
  return unfinished;
}

async function noteEnd(database: Pick<Database, 'as'>, run: ScheduleRun): Promise<boolean> {
  const work = run.taskId ? await readTask(database, run.taskId) : await readHead(database, run.workflowId ?? '');
  if (work && !work.outcome) return false;
  await database
    .as<Tables>()
    .updateTable('schedule_run')
    .set({ outcome: work?.outcome ?? 'forgotten', ended_at: work?.finishedAt ?? run.decidedAt })
    .where('id', '=', run.id)
    .execute();
  return true;
}

/** Newest first. */
export async function listRuns(
  database: Database,
  page: { readonly scheduleId: string; readonly limit: number; readonly cursor?: string | undefined },
): Promise<readonly ScheduleRun[]> {
  const { scheduleId, limit, cursor } = page;
  let query = database.as<Tables>().selectFrom('schedule_run').selectAll().where('schedule_id', '=', scheduleId);
  if (cursor !== undefined)
    query = query.where('scheduled_at', '<', (select) =>
      select.selectFrom('schedule_run as last').select('last.scheduled_at').where('last.id', '=', cursor),
    );
  const rows = await query.orderBy('scheduled_at', 'desc').limit(limit).execute();
  return rows.map(toRun);
}

/** Keeps the newest `keep` runs that started, and as many that did not; what is not finished stays in any case. */
export async function pruneRuns(tx: Transaction, scheduleId: string, keep: number): Promise<void> {
  await sql`
    delete from schedule_run where id in (
      select id from (
        select id, row_number() over (partition by verdict = 'started' order by scheduled_at desc) as place,
               verdict = 'started' and outcome is null as is_open
          from schedule_run where schedule_id = ${scheduleId}
      ) as ranked where place > ${keep} and not is_open
    )`.execute(tx.as<unknown>());
}
