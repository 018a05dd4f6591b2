import type { Evidence, Reason, TaskOutcome, TaskState, Usage } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson, storableText } from '../platform/storable.ts';
import { attemptFromRow, taskFromRow, type TaskTables } from './task-rows.ts';
import { moves, type AttemptRecord, type AttemptState, type TaskRecord } from './task.ts';

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
  | 'fellBackAfter'
  | 'parks'
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
      prompt: storableText(task.prompt),
      payload: storableJson(task.payload),
      owner_id: task.ownerId,
      owner_name: task.ownerName,
      commit_identity: storableJson(task.commitIdentity),
      organization_id: task.organizationId,
      organization_name: task.organizationName,
      workspace_id: task.workspaceId,
      workspace_name: task.workspaceName,
      workflow_id: task.workflowId,
      step_id: task.stepId,
      step_run: task.stepRun,
      trace_parent: task.traceParent,
      retry_of: task.retryOf,
      profile: task.profile,
      model: task.model,
      verify: task.verify === null ? null : storableJson(task.verify),
      branch: task.branch,
      base_commits: storableJson(task.baseCommits),
      priority: task.priority,
      timeout_ms: task.timeoutMs,
      max_attempts: task.maxAttempts,
      retry_delay_ms: task.retryDelayMs,
      budget_micro_usd: task.budgetMicroUsd,
      budget_tokens: task.budgetTokens,
      budget_tool_calls: task.budgetToolCalls,
      fallback_models: task.fallbackModels,
      fallback: task.fallback === null ? null : storableJson(task.fallback),
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

/** All attempts of a task, the first one first. */
export async function listAttempts(database: Database, taskId: string): Promise<readonly AttemptRecord[]> {
  const rows = await database
    .as<TaskTables>()
    .selectFrom('attempt')
    .selectAll()
    .where('task_id', '=', taskId)
    .orderBy('number')
    .execute();
  return rows.map(attemptFromRow);
}

export interface TaskChange {
  readonly state?: TaskState;
  readonly outcome?: TaskOutcome;
  readonly reason?: Reason | null;
  readonly message?: string | null;
  readonly run_at?: Date;
  readonly agent?: string;
  readonly model?: string;
  readonly fell_back_after?: number;
  readonly parks?: number;
  readonly session_id?: string | null;
  readonly stop_reason?: Reason;
  readonly stop_requested_at?: Date;
  readonly started_at?: Date;
  readonly finished_at?: Date;
  readonly evidence?: Evidence | null;
  readonly usage?: Usage;
}

/** Moves a task to another state as the table in `task.ts` allows; anything else is a bug of ours. */
export async function moveTask(
  tx: Transaction,
  task: Pick<TaskRecord, 'id' | 'state'>,
  state: TaskState,
  change: Omit<TaskChange, 'state'> = {},
): Promise<void> {
  if (!moves[task.state].includes(state)) throw new Error(`Task ${task.id} cannot go from ${task.state} to ${state}.`);
  await changeTask(tx, task.id, { ...change, state });
}

export async function changeTask(tx: Transaction, id: string, change: TaskChange): Promise<void> {
  const { evidence, usage, ...plain } = change;
  await tx
    .as<TaskTables>()
    .updateTable('task')
    .set({
      ...plain,
      ...(evidence === undefined ? {} : { evidence: evidence === null ? null : storableJson(evidence) }),
      ...(usage === undefined ? {} : { usage: storableJson(usage) }),
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
  readonly parking_since?: Date;
  readonly evidence?: Evidence;
  readonly outcome?: TaskOutcome;
  readonly reason?: Reason | null;
  readonly leased_at?: Date;
  readonly running_at?: Date;
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
    .set({
      ...plain,
      ...(evidence === undefined ? {} : { evidence: evidence === null ? null : storableJson(evidence) }),
    })
    .where('task_id', '=', taskId)
    .where('number', '=', number)
    .execute();
}

export async function insertAttempt(
  tx: Transaction,
  attempt: {
    taskId: string;
    number: number;
    workspaceId: string;
    agent: string;
    model: string;
    prepareUntil: Date;
    now: Date;
  },
): Promise<void> {
  await tx
    .as<TaskTables>()
    .insertInto('attempt')
    .values({
      task_id: attempt.taskId,
      number: attempt.number,
      workspace_id: attempt.workspaceId,
      agent: attempt.agent,
      model: attempt.model,
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

/** Whether `lockAttemptsOfWorkspace` would find any, without holding anything. */
export async function hasOpenAttempts(database: Database, workspaceId: string): Promise<boolean> {
  const row = await database
    .as<TaskTables>()
    .selectFrom('attempt')
    .select('number')
    .where('workspace_id', '=', workspaceId)
    .where('state', 'in', ['offered', 'leased'])
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
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
    // One order for everybody, so that two claims never wait for each other.
    .orderBy('created_at')
    .orderBy('task_id')
    .execute();
  const found: { task: TaskRecord; attempt: AttemptRecord }[] = [];
  for (const { task_id: taskId, number } of open) {
    const task = await lockTask(tx, taskId);
    const attempt = await readAttempt(tx, taskId, number);
    if (task && attempt && (attempt.state === 'offered' || attempt.state === 'leased')) found.push({ task, attempt });
  }
  return found;
}
