import type { AttemptRef } from '../../modules/contract.ts';
import type { Transaction } from '../platform/database.ts';
import type { Wake } from './settle.ts';
import { lockTask, readAttempt } from './task-store.ts';
import type { AttemptRecord, TaskRecord } from './task.ts';

/**
 * The durable story of one attempt.
 *
 * It holds no state: each turn looks at the rows, does the one thing that is due, and says how long nothing will
 * be due. A signal only means "look again", so a lost, doubled or late one is harmless.
 */
export type Turn =
  { readonly done: false; readonly waitMs: number } | { readonly done: true; readonly wakes: readonly Wake[] };

export const done = (wakes: readonly Wake[] = []): Turn => ({ done: true, wakes });
export const wait = (waitMs: number): Turn => ({ done: false, waitMs: Math.max(waitMs, 50) });

/** An attempt and its task, held until the transaction ends; null where a newer one took its place. */
export async function lockCurrent(
  tx: Transaction,
  ref: AttemptRef,
): Promise<{ task: TaskRecord; attempt: AttemptRecord } | null> {
  const task = await lockTask(tx, ref.task_id);
  const attempt = await readAttempt(tx, ref.task_id, ref.attempt);
  return task && attempt && task.attempt === ref.attempt ? { task, attempt } : null;
}
