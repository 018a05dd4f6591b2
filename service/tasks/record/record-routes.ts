import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Authorize } from '../../identity/authorize.ts';
import { callerOf } from '../../identity/identity.ts';
import { isUuid } from '../../platform/clock.ts';
import type { Database } from '../../platform/database.ts';
import { notFound, ServiceError } from '../../platform/errors.ts';
import { listAnswer, parse, pathParameter, requestId, type Route } from '../../platform/http.ts';
import { zip } from '../../platform/zip.ts';
import { presentTask } from '../present-task.ts';
import { listAttempts } from '../task-store.ts';
import { findVisibleTask } from '../tasks-routes.ts';
import type { TaskRecord } from '../task.ts';
import { artifactData, artifactsOf, readArtifact, type Artifact } from './artifact-store.ts';
import { recordPrunedAt } from './retention.ts';
import { archiveOf, transcriptLines } from './transcript.ts';

export interface RecordRouteParts {
  readonly database: Database;
  readonly authorize: Authorize;
}

const base = '/api/v2/agents/tasks/:taskId';
const formatQuery = z.object({ format: z.enum(['ndjson', 'zip']).default('ndjson') });

const artifactShape = z
  .strictObject({
    id: z.uuid(),
    task_id: z.uuid(),
    attempt: z.number().int(),
    name: z.string(),
    bytes: z.number().int(),
    sha256: z.string(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Artifact' });

/** What a task leaves behind: its transcript and its files. Whoever may see the task may read them. */
export function recordRoutes(parts: RecordRouteParts): Route[] {
  const { database } = parts;
  const visibleTask = (request: Request, response: Response): Promise<TaskRecord> =>
    findVisibleTask(parts, callerOf(response), pathParameter(request, 'taskId'), requestId(response));

  return [
    {
      method: 'get',
      path: `${base}/transcript`,
      guard: 'user',
      summary: 'Exports the transcript of a task so far: ?format=ndjson, or zip with the task and its files.',
      shape: { query: formatQuery, answers: { 200: 'application/x-ndjson' } },
      handler: async (request, response) => {
        const { format } = parse(formatQuery, request.query, 'The query');
        const task = await visibleTask(request, response);
        await mustBeKept(database, task);
        const name = `task-${task.id}.${format}`;
        if (format === 'ndjson')
          return stream(response, transcriptLines(database, task.id), { name, type: 'application/x-ndjson' });
        const shown = presentTask(task, await listAttempts(database, task.id));
        await stream(response, zip(archiveOf(database, task, shown)), { name, type: 'application/zip' });
      },
    },
    {
      method: 'get',
      path: `${base}/artifacts`,
      guard: 'user',
      summary: 'Lists the files that a task left in ARTIFACTS_DIR, by name.',
      shape: { answers: { 200: listAnswer(artifactShape) } },
      handler: async (request, response) => {
        const task = await visibleTask(request, response);
        response.json({ items: (await artifactsOf(database, task.id)).map(present), next_cursor: null });
      },
    },
    {
      method: 'get',
      path: `${base}/artifacts/:artifactId`,
      guard: 'user',
      summary: 'Downloads a file that a task left.',
      shape: { answers: { 200: 'application/octet-stream' } },
      handler: async (request, response) => {
        const task = await visibleTask(request, response);
        const id = pathParameter(request, 'artifactId');
        const artifact = isUuid(id) ? await readArtifact(database, task.id, id) : null;
        if (!artifact) throw notFound(`Artifact '${id}'`);
        response.setHeader('Content-Length', String(artifact.bytes));
        response.setHeader('Repr-Digest', `sha-256=:${Buffer.from(artifact.sha256, 'hex').toString('base64')}:`);
        const name = artifact.name.split('/').at(-1) ?? 'artifact';
        await stream(response, artifactData(database, artifact.id), { name, type: 'application/octet-stream' });
      },
    },
  ];
}

async function mustBeKept(database: Database, task: TaskRecord): Promise<void> {
  const prunedAt = await recordPrunedAt(database, task.id);
  if (prunedAt === null) return;
  throw new ServiceError(
    'not_found',
    'transcript_pruned',
    `The transcript of this task was deleted on ${prunedAt.toISOString().slice(0, 10)}, when its organization's time to keep it was over. The task still shows its outcome and its evidence.`,
  );
}

/**
 * Sends bytes as fast as the caller reads them. What an agent wrote is only ever downloaded: never shown by a browser,
 * never guessed at, and without rights should it be shown after all.
 */
async function stream(
  response: Response,
  pieces: AsyncIterable<Buffer>,
  { name, type }: { name: string; type: string },
): Promise<void> {
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Disposition', dispositionOf(name));
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Content-Security-Policy', "sandbox; default-src 'none'");
  response.setHeader('Cache-Control', 'no-store');
  await pipeline(Readable.from(pieces), response).catch((error: NodeJS.ErrnoException) => {
    // The caller left.
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  });
}

/** Source: RFC 6266, RFC 8187. */
const dispositionOf = (name: string): string => {
  const plain = name.replace(/[^\w.-]/g, '_');
  const whole = encodeURIComponent(name).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${whole}`;
};

const present = (artifact: Artifact) => ({
  id: artifact.id,
  task_id: artifact.taskId,
  attempt: artifact.attempt,
  name: artifact.name,
  bytes: artifact.bytes,
  sha256: artifact.sha256,
  created_at: artifact.completedAt.toISOString(),
});
