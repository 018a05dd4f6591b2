import type { Request, Response } from 'express';
import { callerOf } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import { notFound } from '../platform/errors.ts';
import { listAnswer, listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import type { AcceptParts } from './accept-task.ts';
import { listDeadLetters, markRequeued, readDeadLetter, type DeadLetter } from './dead-letter-store.ts';
import { prepareAgain } from './submit-again.ts';
import { readTask } from './task-store.ts';
import { accepted, deadLetterAnswer } from './task-shape.ts';

const base = '/api/v2/agents/dead-letters';

/** Tasks that used up their attempts, and the way back into the queue. */
export function deadLetterRoutes(parts: AcceptParts): Route[] {
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your tasks that used up their attempts, newest first.',
      shape: { query: listQuery, answers: { 200: listAnswer(deadLetterAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const items = await listDeadLetters(parts.database, { ownerId: callerOf(response).actor.id, limit, cursor });
        response.json({
          items: items.map(present),
          next_cursor: nextCursor(
            items.map(({ id }) => id),
            limit,
          ),
        });
      },
    },
    {
      method: 'post',
      path: `${base}/:letterId/requeue`,
      guard: 'user',
      summary: 'Submits the work of a dead letter again, as a new task with all its attempts.',
      shape: { answers: { 202: accepted } },
      handler: (request, response) => requeue(parts, request, response),
    },
  ];
}

/** Requeues once: asked again, it answers the task that took the letter's place. */
async function requeue(parts: AcceptParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const id = pathParameter(request, 'letterId');
  const known = isUuid(id) ? await readDeadLetter(parts.database, id) : null;
  const dead = known ? await readTask(parts.database, known.taskId) : null;
  if (!known || !dead || known.ownerId !== caller.actor.id) throw notFound(`Dead letter '${id}'`);
  const context = { actor: `user:${caller.actor.id}`, requestId: requestId(response) };
  const again = await prepareAgain(parts, caller, dead, context.requestId);
  const taskId = await parts.database.transaction(async (tx) => {
    const letter = await readDeadLetter(tx, id, true);
    if (letter?.requeuedAs) return letter.requeuedAs;
    const taskId = await again(tx);
    await markRequeued(tx, id, { at: parts.clock.now(), by: caller.actor.id, as: taskId });
    await parts.audit.append(tx, {
      ...context,
      action: 'dead_letter.requeued',
      target: { type: 'task', id: dead.id },
      outcome: 'success',
      ownerId: dead.ownerId,
      organizationId: dead.organizationId,
      workspaceId: dead.workspaceId,
      data: { dead_letter_id: id, task_id: taskId },
    });
    return taskId;
  });
  parts.admitSoon();
  response.status(202).location(`/api/v2/agents/tasks/${taskId}`).json({ id: taskId, status: 'queued' });
}

const present = (letter: DeadLetter) => ({
  id: letter.id,
  task_id: letter.taskId,
  workspace_id: letter.workspaceId,
  agent: letter.agent,
  action: letter.action,
  attempts: letter.attempts,
  reason: letter.reason,
  message: letter.message,
  created_at: letter.createdAt.toISOString(),
  requeued_at: letter.requeuedAt?.toISOString() ?? null,
  requeued_as: letter.requeuedAs,
});
