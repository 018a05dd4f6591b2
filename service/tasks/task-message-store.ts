import type { TaskMessage } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableText } from '../platform/storable.ts';

/** What somebody told a task after it was submitted. */
export interface StoredMessage extends TaskMessage {
  readonly taskId: string;
  /** The Coder user who said it. */
  readonly authorId: string;
  readonly createdAt: Date;
  /** When the session of an attempt heard it, and which attempt's; null: none has. */
  readonly deliveredAt: Date | null;
  readonly attempt: number | null;
}

interface Tables {
  task_message: {
    id: string;
    task_id: string;
    author_id: string;
    text: string;
    created_at: Date;
    delivered_at: Date | null;
    attempt: number | null;
  };
}

export async function insertMessage(
  tx: Transaction,
  message: Pick<StoredMessage, 'id' | 'taskId' | 'authorId' | 'text' | 'createdAt'>,
): Promise<void> {
  await tx
    .as<Tables>()
    .insertInto('task_message')
    .values({
      id: message.id,
      task_id: message.taskId,
      author_id: message.authorId,
      text: storableText(message.text),
      created_at: message.createdAt,
      delivered_at: null,
      attempt: null,
    })
    .execute();
}

/** The messages of a task, the first one first; a page of them where a limit is given. */
export async function messagesOf(
  database: Pick<Database, 'as'>,
  taskId: string,
  { limit, cursor }: { readonly limit?: number; readonly cursor?: string | undefined } = {},
): Promise<readonly StoredMessage[]> {
  let query = database.as<Tables>().selectFrom('task_message').selectAll().where('task_id', '=', taskId).orderBy('id');
  if (limit !== undefined) query = query.limit(limit);
  if (cursor !== undefined) query = query.where('id', '>', cursor);
  return (await query.execute()).map((row) => ({
    id: row.id,
    taskId: row.task_id,
    authorId: row.author_id,
    text: row.text,
    createdAt: row.created_at,
    deliveredAt: row.delivered_at,
    attempt: row.attempt,
  }));
}

/** Those that no session has heard for sure, the first one first. */
export async function undelivered(database: Pick<Database, 'as'>, taskId: string): Promise<readonly TaskMessage[]> {
  const all = await messagesOf(database, taskId);
  return all.filter(({ deliveredAt }) => deliveredAt === null).map(({ id, text }) => ({ id, text }));
}

/** Notes that a session heard a message; a second time changes nothing. */
export async function markDelivered(
  tx: Transaction,
  { taskId, id, attempt, at }: { taskId: string; id: string; attempt: number; at: Date },
): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('task_message')
    .set({ delivered_at: at, attempt })
    .where('id', '=', id)
    .where('task_id', '=', taskId)
    .where('delivered_at', 'is', null)
    .execute();
}
