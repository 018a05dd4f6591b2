import { createHash } from 'node:crypto';
import type { AttemptRef } from '../../contract.ts';

/**
 * Password of an attempt's harness: SHA-256 of key, task and attempt, so that whoever holds the key in the
 * worker can compute it and no file has to hold it.
 */
export const harnessPassword = (harnessKey: string, { task_id, attempt }: AttemptRef): string =>
  createHash('sha256').update(`${harnessKey}:${task_id}:${attempt}`).digest('hex');
