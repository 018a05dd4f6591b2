import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Database } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { parse } from '../platform/http.ts';
import { presentTask } from './present-task.ts';
import { listAttempts, readTask } from './task-store.ts';
import type { TaskWatch } from './task-watch.ts';

/** Longer, and proxies give up before we answer. */
const longestWaitSeconds = 60;
/** A change without an event, such as the reason why a task waits, is seen by then. */
const lookAnywayMs = 5_000;

const waitQuery = z.object({ wait: z.coerce.number().int().min(0).max(longestWaitSeconds).default(0) });

/**
 * Answers a task with its ETag.
 *
 * `?wait=SECONDS`   answers when the task is finished; with `If-None-Match` already when it is not as the caller knows
 *                   it. When the time is over it answers what there is.
 * `If-None-Match`   304 where nothing changed.
 */
export async function answerTask(
  parts: { readonly database: Database; readonly watch: TaskWatch },
  taskId: string,
  request: Request,
  response: Response,
): Promise<void> {
  const { wait } = parse(waitQuery, request.query, 'The query');
  const known = request.get('If-None-Match');
  const until = performance.now() + wait * 1_000;
  const over = new AbortController();
  response.once('close', () => over.abort());
  try {
    for (;;) {
      const leftMs = Math.max(until - performance.now(), 0);
      // Begun before the task is read: what happens in between ends it.
      const change = parts.watch.next(taskId, Math.min(leftMs, lookAnywayMs), over.signal);
      const now = await read(parts.database, taskId);
      const isNews = now.isFinished || (known !== undefined && !isKnown(known, now.etag));
      if (isNews || leftMs === 0 || over.signal.aborted || parts.watch.isDraining) return send(response, now, known);
      await change;
    }
  } finally {
    over.abort();
  }
}

interface Snapshot {
  readonly text: string;
  readonly etag: string;
  readonly isFinished: boolean;
}

async function read(database: Database, taskId: string): Promise<Snapshot> {
  const task = await readTask(database, taskId);
  if (!task) throw notFound(`Task '${taskId}'`);
  const text = JSON.stringify(presentTask(task, await listAttempts(database, taskId)));
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { text, etag, isFinished: task.state === 'finished' };
}

/** Source: RFC 9110 §13.1.2 */
const isKnown = (header: string, etag: string): boolean =>
  header.split(',').some((one) => ['*', etag].includes(one.trim().replace(/^W\//, '')));

function send(response: Response, { text, etag }: Snapshot, known: string | undefined): void {
  if (response.destroyed) return;
  response.setHeader('ETag', etag);
  response.setHeader('Cache-Control', 'private, no-cache');
  if (known !== undefined && isKnown(known, etag)) response.status(304).end();
  else response.type('application/json').send(text);
}
