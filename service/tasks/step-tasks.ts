import { sql } from 'kysely';
import type { Reason, TaskOutcome, TaskState, Usage } from '../../modules/contract.ts';
import type { Database } from '../platform/database.ts';
import { taskFromRow, type TaskTables } from './task-rows.ts';
import type { TaskRecord } from './task.ts';

type Reader = Pick<Database, 'as'>;

/** How the task of a workflow's step stands, without what it was given and what it made. */
export interface StepTaskStand {
  readonly id: string;
  readonly stepId: string;
  readonly stepRun: number;
  readonly state: TaskState;
  readonly outcome: TaskOutcome | null;
  readonly reason: Reason | null;
  readonly submittedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** The same with what a list shows of it. */
export interface StepTaskSummary extends StepTaskStand {
  readonly message: string | null;
  readonly attempt: number;
  readonly branch: string;
  readonly commit: string | null;
  readonly verify: { readonly exit: number | null; readonly timed_out: boolean } | null;
  readonly usage: Usage | null;
}

const standColumns = [
  'id',
  'step_id',
  'step_run',
  'state',
  'outcome',
  'reason',
  'submitted_at',
  'started_at',
  'finished_at',
] as const;

type StandRow = Pick<TaskTables['task'], (typeof standColumns)[number]>;

const standOf = (row: StandRow): StepTaskStand => ({
  id: row.id,
  stepId: row.step_id ?? '',
  stepRun: row.step_run,
  state: row.state,
  outcome: row.outcome,
  reason: row.reason,
  submittedAt: row.submitted_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
});

/** How all tasks of a workflow stand, of every run of its steps. */
export async function standsOfWorkflow(database: Reader, workflowId: string): Promise<readonly StepTaskStand[]> {
  const rows = await database
    .as<TaskTables>()
    .selectFrom('task')
    .select(standColumns)
    .where('workflow_id', '=', workflowId)
    .execute();
  return rows.map(standOf);
}

/** All tasks of several workflows, of every run of their steps, by workflow. */
export async function summariesOfWorkflows(
  database: Reader,
  workflowIds: readonly string[],
): Promise<ReadonlyMap<string, readonly StepTaskSummary[]>> {
  const found = new Map<string, StepTaskSummary[]>(workflowIds.map((id) => [id, []]));
  if (workflowIds.length === 0) return found;
  const rows = await database
    .as<TaskTables>()
    .selectFrom('task')
    .select(standColumns)
    .select(['workflow_id', 'message', 'attempt', 'branch', 'usage'])
    .select([
      sql<string | null>`evidence->>'commit'`.as('commit'),
      sql<StepTaskSummary['verify']>`case when jsonb_typeof(evidence->'verify') = 'object' then jsonb_build_object(
        'exit', evidence->'verify'->'exit', 'timed_out', evidence->'verify'->'timed_out') end`.as('verify'),
    ])
    .where('workflow_id', 'in', workflowIds)
    .execute();
  for (const row of rows)
    found.get(row.workflow_id ?? '')?.push({
      ...standOf(row),
      message: row.message,
      attempt: row.attempt,
      branch: row.branch,
      commit: row.commit,
      verify: row.verify,
      usage: row.usage as Usage | null,
    });
  return found;
}

/** Whole tasks of a workflow: those that are named, or all. */
export async function tasksOfWorkflow(
  database: Reader,
  workflowId: string,
  taskIds?: readonly string[],
): Promise<readonly TaskRecord[]> {
  if (taskIds?.length === 0) return [];
  let query = database.as<TaskTables>().selectFrom('task').selectAll().where('workflow_id', '=', workflowId);
  if (taskIds) query = query.where('id', 'in', taskIds);
  return (await query.execute()).map(taskFromRow);
}

/** Tasks of a workflow that have not ended and were not asked to, oldest first. */
export async function openTaskIdsOfWorkflow(database: Reader, workflowId: string): Promise<readonly string[]> {
  const rows = await database
    .as<TaskTables>()
    .selectFrom('task')
    .select('id')
    .where('workflow_id', '=', workflowId)
    .where('state', 'not in', ['finished', 'stopping'])
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
}
