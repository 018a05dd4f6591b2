import type { Selectable } from 'kysely';
import type { Evidence, Profile, Reason, TaskOutcome, TaskState, Usage, Verify } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { AttemptRecord, AttemptState, TaskRecord } from './task.ts';

interface TaskTable {
  id: string;
  agent: string;
  type: string;
  action: string;
  title: string;
  prompt: string;
  payload: unknown;
  owner_id: string;
  owner_name: string;
  commit_identity: unknown;
  organization_id: string;
  organization_name: string;
  workspace_id: string;
  workspace_name: string;
  workflow_id: string | null;
  step_id: string | null;
  profile: Profile;
  model: string;
  verify: unknown;
  branch: string;
  base_commits: unknown;
  priority: number;
  timeout_ms: number;
  max_attempts: number;
  retry_delay_ms: number;
  state: TaskState;
  outcome: TaskOutcome | null;
  reason: Reason | null;
  message: string | null;
  attempt: number;
  run_at: Date;
  session_id: string | null;
  event_seq: number;
  stop_reason: Reason | null;
  stop_requested_at: Date | null;
  request_id: string | null;
  submitted_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  evidence: unknown;
  usage: unknown;
}

interface AttemptTable {
  task_id: string;
  number: number;
  workspace_id: string;
  state: AttemptState;
  prepare_until: Date;
  lease_generation: number | null;
  lease_until: Date | null;
  last_source_seq: number;
  waiting_since: Date | null;
  waited_ms: number;
  evidence: unknown;
  outcome: TaskOutcome | null;
  reason: Reason | null;
  created_at: Date;
  leased_at: Date | null;
  settled_at: Date | null;
}

export interface TaskTables {
  task: TaskTable;
  attempt: AttemptTable;
}

const taskFromRow = (row: Selectable<TaskTable>): TaskRecord => ({
  id: row.id,
  agent: row.agent,
  type: row.type,
  action: row.action,
  title: row.title,
  prompt: row.prompt,
  payload: row.payload,
  ownerId: row.owner_id,
  ownerName: row.owner_name,
  commitIdentity: row.commit_identity as TaskRecord['commitIdentity'],
  organizationId: row.organization_id,
  organizationName: row.organization_name,
  workspaceId: row.workspace_id,
  workspaceName: row.workspace_name,
  workflowId: row.workflow_id,
  stepId: row.step_id,
  profile: row.profile,
  model: row.model,
  verify: row.verify as Verify | null,
  branch: row.branch,
  baseCommits: row.base_commits as readonly string[],
  priority: row.priority,
  timeoutMs: row.timeout_ms,
  maxAttempts: row.max_attempts,
  retryDelayMs: row.retry_delay_ms,
  state: row.state,
  outcome: row.outcome,
  reason: row.reason,
  message: row.message,
  attempt: row.attempt,
  runAt: row.run_at,
  sessionId: row.session_id,
  eventSeq: row.event_seq,
  stopReason: row.stop_reason,
  stopRequestedAt: row.stop_requested_at,
  requestId: row.request_id,
  submittedAt: row.submitted_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  evidence: row.evidence as Evidence | null,
  usage: row.usage as Usage | null,
});

const attemptFromRow = (row: Selectable<AttemptTable>): AttemptRecord => ({
  taskId: row.task_id,
  number: row.number,
  workspaceId: row.workspace_id,
  state: row.state,
  prepareUntil: row.prepare_until,
  leaseGeneration: row.lease_generation,
  leaseUntil: row.lease_until,
  lastSourceSeq: row.last_source_seq,
  waitingSince: row.waiting_since,
  waitedMs: row.waited_ms,
  evidence: row.evidence as Evidence | null,
  leasedAt: row.leased_at,
});

export type NewTask = Omit<
  TaskRecord,
  | 'attempt'
  | 'sessionId'
  | 'eventSeq'
  | 'stopReason'
  | 'stopRequestedAt'
  | 'startedAt'
  | 'finishedAt'
  | 'evidence'
  | 'usage'
  | 'outcome'
  | 'message'
>;

export async function insertTask(tx: Transaction, task: NewTask): Promise<void> {
  await tx
    .as<TaskTables>()
    .insertInto('task')
    .values({
      id: task.id,
      agent: task.agent,
      type: task.type,
      action: task.action,
      title: task.title,
      prompt: task.prompt,
      payload: JSON.stringify(task.payload),
      owner_id: task.ownerId,
      owner_name: task.ownerName,
      commit_identity: JSON.stringify(task.commitIdentity),
      organization_id: task.organizationId,
      organization_name: task.organizationName,
      workspace_id: task.workspaceId,
      workspace_name: task.workspaceName,
      workflow_id: task.workflowId,
      step_id: task.stepId,
      profile: task.profile,
      model: task.model,
      verify: task.verify === null ? null : JSON.stringify(task.verify),
      branch: task.branch,
      base_commits: JSON.stringify(task.baseCommits),
      priority: task.priority,
      timeout_ms: task.timeoutMs,
      max_attempts: task.maxAttempts,
      retry_delay_ms: task.retryDelayMs,
      state: task.state,
      reason: task.reason,
      run_at: task.runAt,
      request_id: task.requestId,
      submitted_at: task.submittedAt,
    } as never)
    .execute();
}

export async function readTask(database: Pick<Database, 'as'>, id: string): Promise<TaskRecord | null> {
  const row = await database.as<TaskTables>().selectFrom('task').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? taskFromRow(row) : null;
}

/** Reads a task and holds it until the transaction ends. Always lock the task before its attempt. */
export async function lockTask(tx: Transaction, id: string): Promise<TaskRecord | null> {
  const row = await tx
    .as<TaskTables>()
    .selectFrom('task')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return row ? taskFromRow(row) : null;
}

export async function readAttempt(
  database: Pick<Database, 'as'>,
  taskId: string,
  number: number,
): Promise<AttemptRecord | null> {
  const row = await database
    .as<TaskTables>()
    .selectFrom('attempt')
    .selectAll()
    .where('task_id', '=', taskId)
    .where('number', '=', number)
    .executeTakeFirst();
  return row ? attemptFromRow(row) : null;
}

export interface TaskChange {
  readonly state?: TaskState;
  readonly outcome?: TaskOutcome;
  readonly reason?: Reason | null;
  readonly message?: string | null;
  readonly run_at?: Date;
  readonly session_id?: string | null;
  readonly stop_reason?: Reason;
  readonly stop_requested_at?: Date;
  readonly started_at?: Date;
  readonly finished_at?: Date;
  readonly evidence?: Evidence | null;
  readonly usage?: Usage;
}

export async function changeTask(tx: Transaction, id: string, change: TaskChange): Promise<void> {
  const { evidence, usage, ...plain } = change;
  await tx
    .as<TaskTables>()
    .updateTable('task')
    .set({
      ...plain,
      ...(evidence === undefined ? {} : { evidence: toJson(evidence) }),
      ...(usage === undefined ? {} : { usage: toJson(usage) }),
    })
    .where('id', '=', id)
    .execute();
}

export interface AttemptChange {
  readonly state?: AttemptState;
  readonly lease_generation?: number;
  readonly lease_until?: Date;
  readonly last_source_seq?: number;
  readonly waiting_since?: Date | null;
  readonly waited_ms?: number;
  readonly evidence?: Evidence;
  readonly outcome?: TaskOutcome;
  readonly reason?: Reason | null;
  readonly leased_at?: Date;
  readonly settled_at?: Date;
}

export async function changeAttempt(
  tx: Transaction,
  taskId: string,
  number: number,
  change: AttemptChange,
): Promise<void> {
  const { evidence, ...plain } = change;
  await tx
    .as<TaskTables>()
    .updateTable('attempt')
    .set({ ...plain, ...(evidence === undefined ? {} : { evidence: toJson(evidence) }) })
    .where('task_id', '=', taskId)
    .where('number', '=', number)
    .execute();
}

export async function insertAttempt(
  tx: Transaction,
  attempt: { taskId: string; number: number; workspaceId: string; prepareUntil: Date; now: Date },
): Promise<void> {
  await tx
    .as<TaskTables>()
    .insertInto('attempt')
    .values({
      task_id: attempt.taskId,
      number: attempt.number,
      workspace_id: attempt.workspaceId,
      state: 'preparing',
      prepare_until: attempt.prepareUntil,
      created_at: attempt.now,
    } as never)
    .execute();
}

/** An owner's tasks, newest first. `cursor` is the id of the last one seen. */
export async function listTasks(
  database: Database,
  filter: {
    ownerId: string;
    agent?: string | undefined;
    workflowId?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  },
): Promise<readonly TaskRecord[]> {
  let query = database
    .as<TaskTables>()
    .selectFrom('task')
    .selectAll()
    .where('owner_id', '=', filter.ownerId)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.agent) query = query.where('agent', '=', filter.agent);
  if (filter.workflowId) query = query.where('workflow_id', '=', filter.workflowId);
  if (filter.cursor) query = query.where('id', '<', filter.cursor);
  return (await query.execute()).map(taskFromRow);
}

/** The tasks of a workflow, by step. */
export async function tasksOfWorkflow(
  database: Pick<Database, 'as'>,
  workflowId: string,
): Promise<ReadonlyMap<string, TaskRecord>> {
  const rows = await database
    .as<TaskTables>()
    .selectFrom('task')
    .selectAll()
    .where('workflow_id', '=', workflowId)
    .execute();
  return new Map(rows.map((row) => [row.step_id ?? row.id, taskFromRow(row)]));
}

/** Attempts of a workspace that wait for a bridge or are held by one, oldest first; with their tasks held. */
export async function lockAttemptsOfWorkspace(
  tx: Transaction,
  workspaceId: string,
): Promise<readonly { task: TaskRecord; attempt: AttemptRecord }[]> {
  const open = await tx
    .as<TaskTables>()
    .selectFrom('attempt')
    .select(['task_id', 'number'])
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', ['offered', 'leased'])
    .orderBy('created_at')
    .execute();
  const found: { task: TaskRecord; attempt: AttemptRecord }[] = [];
  for (const { task_id: taskId, number } of open) {
    const task = await lockTask(tx, taskId);
    const attempt = await readAttempt(tx, taskId, number);
    if (task && attempt && (attempt.state === 'offered' || attempt.state === 'leased')) found.push({ task, attempt });
  }
  return found;
}

// Postgres refuses U+0000 inside jsonb.
const toJson = (value: unknown): string | null =>
  value === null ? null : JSON.stringify(value).replaceAll('\\u0000', '');
