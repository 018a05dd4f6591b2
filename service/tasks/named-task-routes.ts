import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf } from '../identity/identity.ts';
import { canonicalHash } from '../platform/canonical.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { checkTask, readAnyTask, submitterOf, type AcceptParts } from './accept-task.ts';
import { mustHaveRoom } from './queue-room.ts';
import { submitTask, type TaskBody, executeBody } from './submit-task.ts';
import { narrow } from './work-bounds.ts';

interface Row {
  owner_id: string;
  name: string;
  content_hash: string;
  task_id: string | null;
  written_at: Date;
}
interface Tables {
  named_task: Row;
}

const path = '/api/v2/agents/named-tasks/:name';
const nameShape = z.object({
  name: z
    .string()
    .max(63)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, such as fix-login'),
});
const written = z.strictObject({
  change: z.enum(['created', 'changed', 'unchanged']),
  name: z.string().optional(),
  id: z.uuid().optional(),
  dry_run: z.boolean().optional(),
});
const query = z.object({ dry_run: z.enum(['true', 'false']).optional() });

/**
 * Tasks that are submitted by writing them under a name: the same again names the same task, however much later.
 *
 * `PUT` the body of a task: 202 with a new task, or 200 with the one there is. Other content makes another task; the
 * first goes on. · `GET` names the newest task of that name.
 */
export const namedTaskRoutes = (parts: AcceptParts): Route[] => [
  {
    method: 'put',
    path,
    guard: 'user',
    summary: 'Submits a task once under a name; the same content again names the same task.',
    shape: { query, body: executeBody, answers: { 200: written, 202: written } },
    handler: (request, response) => write(parts, request, response),
  },
  {
    method: 'get',
    path,
    guard: 'user',
    summary: 'Names the newest task that was submitted under a name.',
    shape: { answers: { 200: z.strictObject({ name: z.string(), id: z.uuid(), written_at: z.iso.datetime() }) } },
    handler: async (request, response) => {
      const { name } = parse(nameShape, { name: pathParameter(request, 'name') }, 'The path');
      const row = await find(parts.database, callerOf(response).actor.id, name);
      if (!row?.task_id) throw notFound(`Task '${name}'`);
      response.json({ name, id: row.task_id, written_at: row.written_at.toISOString() });
    },
  },
];

async function write(parts: AcceptParts, request: Request, response: Response): Promise<void> {
  const { name } = parse(nameShape, { name: pathParameter(request, 'name') }, 'The path');
  const isDryRun = parse(query, request.query, 'The query').dry_run === 'true';
  const caller = callerOf(response);
  const ownerId = caller.actor.id;
  const contentHash = canonicalHash(request.body);
  const before = await find(parts.database, ownerId, name);
  if (before?.task_id && before.content_hash === contentHash) {
    response.json({ change: 'unchanged', name, id: before.task_id });
    return;
  }
  const checked = await check(parts, response, readAnyTask(request.body, parts.bounds));
  if (isDryRun) {
    response.json({ change: before?.task_id ? 'changed' : 'created', dry_run: true });
    return;
  }
  const answer = await parts.database.transaction(async (tx) => {
    const now = parts.clock.now();
    const current = await lock(tx, { owner_id: ownerId, name, content_hash: '', task_id: null, written_at: now });
    if (current.task_id && current.content_hash === contentHash)
      return { change: 'unchanged', name, id: current.task_id };
    await mustHaveRoom(tx, parts.queueMax, { ownerId, tasks: 1 });
    const id = await submitTask(tx, parts, {
      ...checked,
      submitter: submitterOf(caller),
      requestId: requestId(response),
    });
    await tx
      .as<Tables>()
      .updateTable('named_task')
      .set({ content_hash: contentHash, task_id: id, written_at: now })
      .where((where) => where.and({ owner_id: ownerId, name }))
      .execute();
    return { change: current.task_id ? 'changed' : 'created', name, id };
  });
  parts.admitSoon();
  response
    .status(answer.change === 'unchanged' ? 200 : 202)
    .location(`/api/v2/agents/tasks/${answer.id}`)
    .json(answer);
}

async function check(parts: AcceptParts, response: Response, body: TaskBody) {
  const [caller, id] = [callerOf(response), requestId(response)];
  const workspace = await parts.authorize.workspace(caller, body.payload.context.workspace_id, id);
  const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId: id });
  return { workspace, work: checkTask(narrow(parts.bounds, inWorkspace), body) };
}

const find = (database: Pick<Database, 'as'>, ownerId: string, name: string): Promise<Row | undefined> =>
  database
    .as<Tables>()
    .selectFrom('named_task')
    .selectAll()
    .where((where) => where.and({ owner_id: ownerId, name }))
    .executeTakeFirst();

/** The row of a name, made if it is missing, held until the transaction ends: two at once submit one task. */
async function lock(tx: Transaction, fresh: Row): Promise<Row> {
  await tx
    .as<Tables>()
    .insertInto('named_task')
    .values(fresh)
    .onConflict((conflict) => conflict.columns(['owner_id', 'name']).doNothing())
    .execute();
  return tx
    .as<Tables>()
    .selectFrom('named_task')
    .selectAll()
    .where((where) => where.and({ owner_id: fresh.owner_id, name: fresh.name }))
    .forUpdate()
    .executeTakeFirstOrThrow();
}
