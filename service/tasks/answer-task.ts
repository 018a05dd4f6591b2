import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf } from '../identity/identity.ts';
import type { Database } from '../platform/database.ts';
import { parse } from '../platform/http.ts';
import { isKnown, readSnapshot, type Snapshot } from './task-snapshot.ts';
import type { TaskWatch } from './task-watch.ts';

/** Proxies such as nginx give up after 60 s; our answer has to come before. */
const longestWaitSeconds = 55;

/** Query of whatever answers one task. */
export const waitQuery = z.object({ wait: z.coerce.number().int().min(0).max(longestWaitSeconds).default(0) });

/**
 * Answers a task with its ETag.
 *
 * `?wait=SECONDS`   answers when the task is finished; with `If-None-Match` already when it is not as the caller knows
 *                   it. When the time is over it answers what there is.
 * `If-None-Match`   304 where nothing changed.
 * Errors            `rate_limited` when the caller waits too often at once.
 */
export async function answerTask(
  parts: { readonly database: Database; readonly watch: TaskWatch },
  taskId: string,
  request: Request,
  response: Response,
): Promise<void> {
  const { wait } = parse(waitQuery, request.query, 'The query');
  const known = request.get('If-None-Match');
  if (wait > 0 && !response.destroyed) {
    const over = new AbortController();
    response.once('close', () => over.abort());
    const { id: actorId } = callerOf(response).actor;
    await parts.watch.wait(taskId, { actorId, known, ms: wait * 1_000, signal: over.signal });
  }
  if (!response.destroyed) send(response, await readSnapshot(parts.database, taskId), known);
}

function send(response: Response, { text, etag }: Snapshot, known: string | undefined): void {
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (known !== undefined && isKnown(known, etag)) response.status(304).end();
  else response.type('application/json').send(text);
}
