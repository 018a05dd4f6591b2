import { createHash } from 'node:crypto';
import type { TaskState } from '../../modules/contract.ts';
import type { Database } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { presentTask } from './present-task.ts';
import { listAttempts, readTask } from './task-store.ts';

/** A task as callers see it, with the tag that changes when it does. */
export interface Snapshot {
  readonly text: string;
  readonly etag: string;
  readonly isFinished: boolean;
}

/** Reads all of a task. Throws `not_found`. */
export async function readSnapshot(database: Database, taskId: string): Promise<Snapshot> {
  const task = await readTask(database, taskId);
  if (!task) throw notFound(`Task '${taskId}'`);
  const text = JSON.stringify(presentTask(task, await listAttempts(database, taskId)));
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { text, etag, isFinished: task.state === 'finished' };
}

/** Whether a task is finished, or not there any more. */
export async function isOver(database: Database, taskId: string): Promise<boolean> {
  const row = await database
    .as<{ task: { id: string; state: TaskState } }>()
    .selectFrom('task')
    .select('state')
    .where('id', '=', taskId)
    .executeTakeFirst();
  return row === undefined || row.state === 'finished';
}

/**
 * Whether `If-None-Match` names a tag.
 *
 * Source: RFC 9110 §13.1.2
 */
export const isKnown = (header: string, etag: string): boolean =>
  header.split(',').some((one) => ['*', etag].includes(one.trim().replace(/^W\//, '')));
