import type { Reason } from '../../modules/contract.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { TaskRecord } from './task.ts';

/** A task that used up its attempts although one more could have helped. */
export interface DeadLetter {
  readonly id: string;
  readonly taskId: string;
  readonly ownerId: string;
  readonly workspaceId: string;
  readonly agent: string;
  readonly action: string;
  readonly attempts: number;
  readonly reason: Reason | null;
  readonly message: string | null;
  readonly createdAt: Date;
  readonly requeuedAt: Date | null;
  readonly requeuedBy: string | null;
  /** The task that took its place. */
  readonly requeuedAs: string | null;
}

interface Row {
  id: string;
  task_id: string;
  owner_id: string;
  workspace_id: string;
  agent: string;
  action: string;
  attempts: number;
  reason: Reason | null;
  message: string | null;
  created_at: Date;
  requeued_at: Date | null;
  requeued_by: string | null;
  requeued_as: string | null;
}
interface Tables {
  dead_letter: Row;
}

const fromRow = (row: Row): DeadLetter => ({
  id: row.id,
  taskId: row.task_id,
  ownerId: row.owner_id,
  workspaceId: row.workspace_id,
  agent: row.agent,
  action: row.action,
  attempts: row.attempts,
  reason: row.reason,
  message: row.message,
  createdAt: row.created_at,
  requeuedAt: row.requeued_at,
  requeuedBy: row.requeued_by,
  requeuedAs: row.requeued_as,
});

export async function insertDeadLetter(
  tx: Transaction,
  clock: Clock,
  task: TaskRecord,
  { reason, message }: { readonly reason: Reason | null; readonly message: string | null },
): Promise<void> {
  await tx
    .as<Tables>()
    .insertInto('dead_letter')
    .values({
      id: uuidv7(clock),
      task_id: task.id,
      owner_id: task.ownerId,
      workspace_id: task.workspaceId,
      agent: task.agent,
      action: task.action,
      attempts: task.attempt,
      reason,
      message,
      created_at: clock.now(),
      requeued_at: null,
      requeued_by: null,
      requeued_as: null,
    })
    .execute();
}

/** `lock` holds it until the transaction ends. */
export async function readDeadLetter(
  database: Pick<Database, 'as'>,
  id: string,
  lock = false,
): Promise<DeadLetter | null> {
  const query = database.as<Tables>().selectFrom('dead_letter').selectAll().where('id', '=', id);
  const row = await (lock ? query.forUpdate() : query).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** The dead letter of a task, held until the transaction ends. */
export async function lockLetterOf(tx: Transaction, taskId: string): Promise<DeadLetter | null> {
  const query = tx.as<Tables>().selectFrom('dead_letter').selectAll().where('task_id', '=', taskId);
  const row = await query.forUpdate().executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** An owner's dead letters, newest first. */
export async function listDeadLetters(
  database: Database,
  filter: { readonly ownerId: string; readonly limit: number; readonly cursor?: string | undefined },
): Promise<readonly DeadLetter[]> {
  let query = database
    .as<Tables>()
    .selectFrom('dead_letter')
    .selectAll()
    .where('owner_id', '=', filter.ownerId)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.cursor) query = query.where('id', '<', filter.cursor);
  return (await query.execute()).map(fromRow);
}

export async function markRequeued(
  tx: Transaction,
  id: string,
  { at, by, as }: { readonly at: Date; readonly by: string; readonly as: string },
): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('dead_letter')
    .set({ requeued_at: at, requeued_by: by, requeued_as: as })
    .where('id', '=', id)
    .execute();
}
