import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf, type Caller } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import { notFound } from '../platform/errors.ts';
import { listAnswer, listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { acceptTask, readOpenCodeTask, type AcceptParts } from './accept-task.ts';
import { answerTask, waitQuery } from './answer-task.ts';
import type { EventStream } from './event-stream.ts';
import { presentTask, summarizeTask } from './present-task.ts';
import { stopTask, type StopParts } from './stop-task.ts';
import { listAttempts, listTasks, readTask } from './task-store.ts';
import { accepted, taskAnswer, taskSummary } from './task-shape.ts';
import { taskBody } from './submit-task.ts';
import type { TaskWatch } from './task-watch.ts';
import type { TaskRecord } from './task.ts';

export interface TaskRouteParts extends StopParts, AcceptParts {
  readonly stream: EventStream;
  readonly watch: TaskWatch;
}

const query = listQuery.extend({ workflow_id: z.uuid().optional() });

const shapes = {
  submit: { body: taskBody, answers: { 202: accepted } },
  list: { query, answers: { 200: listAnswer(taskSummary) } },
  read: { query: waitQuery, answers: { 200: taskAnswer, 304: null } },
  events: { answers: { 200: 'text/event-stream' } },
  stop: { answers: { 202: taskAnswer } },
};

/** The task an id names, if the caller may see it. Throws `not_found`. */
export async function findVisibleTask(
  parts: Pick<TaskRouteParts, 'database' | 'authorize'>,
  caller: Caller,
  id: string,
  request: string,
): Promise<TaskRecord> {
  const task = isUuid(id) ? await readTask(parts.database, id) : null;
  if (!task) throw notFound(`Task '${id}'`);
  await parts.authorize.use(caller, { what: `Task '${id}'`, ...task }, request);
  return task;
}

export function tasksRoutes(parts: TaskRouteParts): Route[] {
  const visibleTask = (request: Request, response: Response): Promise<TaskRecord> =>
    findVisibleTask(parts, callerOf(response), pathParameter(request, 'taskId'), requestId(response));

  const read = async (request: Request, response: Response): Promise<void> => {
    const task = await visibleTask(request, response);
    await answerTask(parts, task.id, request, response);
  };
  const list =
    (agent?: string) =>
    async (request: Request, response: Response): Promise<void> => {
      const { limit, cursor, workflow_id: workflowId } = parse(query, request.query, 'The query');
      const ownerId = callerOf(response).actor.id;
      const items = await listTasks(parts.database, { ownerId, agent, workflowId, limit, cursor });
      response.json({
        items: items.map(summarizeTask),
        next_cursor: nextCursor(
          items.map(({ id }) => id),
          limit,
        ),
      });
    };

  return [
    {
      method: 'post',
      path: '/api/v2/agents/opencode/tasks',
      guard: 'user',
      summary: 'Submits a task for OpenCode in one of your workspaces.',
      shape: shapes.submit,
      handler: async (request, response) => {
        const given = { route: 'POST opencode/tasks', read: readOpenCodeTask };
        await acceptTask(parts, given, request, response);
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/opencode/tasks',
      guard: 'user',
      summary: 'Lists your OpenCode tasks, newest first.',
      shape: shapes.list,
      handler: list('opencode'),
    },
    {
      method: 'get',
      path: '/api/v2/agents/opencode/tasks/:taskId',
      guard: 'user',
      summary: 'Reads a task.',
      shape: shapes.read,
      handler: read,
    },
    {
      method: 'get',
      path: '/api/v2/agents/tasks',
      guard: 'user',
      summary: 'Lists your tasks.',
      shape: shapes.list,
      handler: list(),
    },
    {
      method: 'get',
      path: '/api/v2/agents/tasks/:taskId',
      guard: 'user',
      summary: 'Reads a task.',
      shape: shapes.read,
      handler: read,
    },
    {
      method: 'get',
      path: '/api/v2/agents/tasks/:taskId/events',
      guard: 'user',
      summary:
        'Streams the events of a task: Server-Sent Events, or a WebSocket with the same; from after Last-Event-ID.',
      shape: shapes.events,
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
      shape: shapes.stop,
      handler: async (request, response) => {
        const task = await visibleTask(request, response);
        const stopped = await stopTask(parts, task.id, callerOf(response).actor.id, requestId(response));
        parts.admitSoon();
        response.status(202).json(presentTask(stopped, await listAttempts(parts.database, task.id)));
      },
    },
  ];
}
