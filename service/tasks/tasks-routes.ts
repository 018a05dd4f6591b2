import type { Request, Response } from 'express';
import { z } from 'zod';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf, type Caller } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { listQuery, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { once, replay, type IdempotencyRequest, type StoredAnswer } from '../platform/idempotency.ts';
import type { EventStream } from './event-stream.ts';
import { presentTask, summarizeTask } from './present-task.ts';
import { stopTask, type StopParts } from './stop-task.ts';
import { checkWork, submitTask, taskBody, type Submitter } from './submit-task.ts';
import { listTasks, readTask } from './task-store.ts';
import type { TaskRecord } from './task.ts';
import { narrow, type WorkBounds } from './work-bounds.ts';

export interface TaskRouteParts extends StopParts {
  readonly authorize: Authorize;
  readonly bounds: WorkBounds;
  readonly workspaceBounds: BoundsReader;
  readonly stream: EventStream;
  /** Looks for what may start, without keeping the caller waiting for it. */
  readonly admitSoon: () => void;
}

const query = listQuery.extend({ workflow_id: z.uuid().optional() });

export const submitterOf = (caller: Caller): Submitter => ({
  id: caller.actor.id,
  name: caller.actor.name,
  commitIdentity: caller.commitIdentity,
});

export function tasksRoutes(parts: TaskRouteParts): Route[] {
  /** The task a path names, if the caller may see it. */
  async function visibleTask(request: Request, response: Response): Promise<TaskRecord> {
    const id = pathParameter(request, 'taskId');
    const task = isUuid(id) ? await readTask(parts.database, id) : null;
    if (!task) throw notFound(`Task '${id}'`);
    await parts.authorize.use(callerOf(response), { what: `Task '${id}'`, ...task }, requestId(response));
    return task;
  }

  const read = async (request: Request, response: Response): Promise<void> => {
    response.json(presentTask(await visibleTask(request, response)));
  };
  const list =
    (agent?: string) =>
    async (request: Request, response: Response): Promise<void> => {
      const { limit, cursor, workflow_id: workflowId } = parse(query, request.query, 'The query');
      const ownerId = callerOf(response).actor.id;
      const items = await listTasks(parts.database, { ownerId, agent, workflowId, limit, cursor });
      response.json({
        items: items.map(summarizeTask),
        next_cursor: items.length === limit ? (items.at(-1)?.id ?? null) : null,
      });
    };

  return [
    {
      method: 'post',
      path: '/api/v2/agents/opencode/tasks',
      guard: 'user',
      summary: 'Submits a task for OpenCode in one of your workspaces.',
      handler: (request, response) => submit(parts, request, response),
    },
    {
      method: 'get',
      path: '/api/v2/agents/opencode/tasks',
      guard: 'user',
      summary: 'Lists your OpenCode tasks, newest first.',
      handler: list('opencode'),
    },
    {
      method: 'get',
      path: '/api/v2/agents/opencode/tasks/:taskId',
      guard: 'user',
      summary: 'Reads a task.',
      handler: read,
    },
    { method: 'get', path: '/api/v2/agents/tasks', guard: 'user', summary: 'Lists your tasks.', handler: list() },
    { method: 'get', path: '/api/v2/agents/tasks/:taskId', guard: 'user', summary: 'Reads a task.', handler: read },
    {
      method: 'get',
      path: '/api/v2/agents/tasks/:taskId/events',
      guard: 'user',
      summary: 'Streams the events of a task (SSE, Last-Event-ID).',
      handler: async (request, response) => {
        const task = await visibleTask(request, response);
        await parts.stream.serve(request, response, task.id);
      },
    },
    {
      method: 'post',
      path: '/api/v2/agents/tasks/:taskId/stop',
      guard: 'user',
      summary: 'Stops a task; it is `stopped` only after its bridge proved that nothing is left.',
      handler: async (request, response) => {
        const task = await visibleTask(request, response);
        const stopped = await stopTask(parts, task.id, callerOf(response).actor.id, requestId(response));
        parts.admitSoon();
        response.status(202).json(presentTask(stopped));
      },
    },
  ];
}

async function submit(parts: TaskRouteParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const key = request.get('Idempotency-Key');
  const idempotency = { actor: caller.actor.id, route: 'POST opencode/tasks', key, body: request.body as unknown };
  const answer =
    (await replay(parts.database, idempotency)) ??
    (await accept(parts, caller, request.body, requestId(response), idempotency));
  parts.admitSoon();
  const { id } = answer.body as { id: string };
  response.status(answer.status).location(`/api/v2/agents/tasks/${id}`).json(answer.body);
}

/** Checks a task and stores it, or answers what the same request got first. */
async function accept(
  parts: TaskRouteParts,
  caller: Caller,
  given: unknown,
  id: string,
  idempotency: IdempotencyRequest,
): Promise<StoredAnswer> {
  const body = parse(taskBody, given, 'The task');
  const { action, language, prompt, context } = body.payload;
  if (body.type !== 'opencode') throw wrongType(body.type);
  parts.bounds.registry.action(body.type, action);
  const workspace = await parts.authorize.workspace(caller, context.workspace_id, id);
  const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId: id });
  const work = checkWork(narrow(parts.bounds, inWorkspace), body.type, action, {
    ...body,
    prompt,
    hints: { language, file_path: context.file_path },
    payload: body.payload,
  });
  return parts.database.transaction((tx) =>
    once(tx, parts.clock, idempotency, async () => {
      const taskId = await submitTask(tx, parts, { work, workspace, submitter: submitterOf(caller), requestId: id });
      return { status: 202, body: { id: taskId, status: 'queued' } };
    }),
  );
}

const wrongType = (type: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'type_unknown',
    `This route takes tasks of type 'opencode', not '${type}'. Workflows go to /api/v2/agents/agentzero/workflows.`,
  );
