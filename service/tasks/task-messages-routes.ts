import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf } from '../identity/identity.ts';
import { listAnswer, listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { once, replay } from '../platform/idempotency.ts';
import type { AcceptParts } from './accept-task.ts';
import { messagesOf, type StoredMessage } from './task-message-store.ts';
import type { TaskRecord } from './task.ts';
import { isShort, tellTask } from './tell-task.ts';
import { findVisibleTask } from './tasks-routes.ts';
import { messageAnswer } from './task-shape.ts';

const path = '/api/v2/agents/tasks/:taskId/messages';

const messageBody = z.strictObject({
  text: z
    .string()
    .refine((text) => text.trim() !== '', 'the message is empty; say what the agent should hear')
    .refine(isShort, 'the message is larger than 16 KiB; put files into the workspace')
    .refine((text) => !text.includes('\u0000'), 'the message holds a null character'),
});

/** What people say to a task after it was submitted. */
export function taskMessagesRoutes(parts: Pick<AcceptParts, 'database' | 'authorize' | 'audit' | 'clock'>): Route[] {
  const namedTask = (request: Request, response: Response): Promise<TaskRecord> =>
    findVisibleTask(parts, callerOf(response), pathParameter(request, 'taskId'), requestId(response));

  return [
    {
      method: 'post',
      path,
      guard: 'user',
      summary: 'Says something to a task: its session hears it as the next prompt, once.',
      shape: { body: messageBody, answers: { 202: messageAnswer } },
      handler: async (request, response) => {
        const caller = callerOf(response);
        const task = await namedTask(request, response);
        await parts.authorize.act(caller, { what: `Task '${task.id}'`, ...task }, requestId(response));
        const idempotency = {
          actor: caller.actor.id,
          route: `POST tasks/${task.id}/messages`,
          key: request.get('Idempotency-Key'),
          body: request.body as unknown,
        };
        const answer =
          (await replay(parts.database, idempotency)) ??
          (await parts.database.transaction((tx) =>
            once(tx, parts.clock, idempotency, async () => {
              const { text } = parse(messageBody, request.body, 'The message');
              const said = { text, actorId: caller.actor.id, requestId: requestId(response) };
              return { status: 202, body: present(await tellTask(tx, parts, task.id, said)) };
            }),
          ));
        response.status(answer.status).json(answer.body);
      },
    },
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Lists what was said to a task, the first message first.',
      shape: { query: listQuery, answers: { 200: listAnswer(messageAnswer) } },
      handler: async (request, response) => {
        const task = await namedTask(request, response);
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const items = (await messagesOf(parts.database, task.id, { limit, cursor })).map(present);
        const ids = items.map(({ id }) => id);
        response.json({ items, next_cursor: nextCursor(ids, limit) });
      },
    },
  ];
}

const present = (message: StoredMessage) => ({
  id: message.id,
  task_id: message.taskId,
  author_id: message.authorId,
  text: message.text,
  created_at: message.createdAt.toISOString(),
  delivered_at: message.deliveredAt?.toISOString() ?? null,
  attempt: message.attempt,
});
