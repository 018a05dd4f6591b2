import type { Request, Response } from 'express';
import { z } from 'zod';
import type { TaskOutcome } from '../../modules/contract.ts';
import { callerOf } from '../identity/identity.ts';
import { ServiceError } from '../platform/errors.ts';
import { pathParameter, requestId, type Route } from '../platform/http.ts';
import { once, replay } from '../platform/idempotency.ts';
import type { AcceptParts } from './accept-task.ts';
import { lockLetterOf, markRequeued } from './dead-letter-store.ts';
import { prepareAgain } from './submit-again.ts';
import { auditOf, type TaskRecord } from './task.ts';
import { findVisibleTask } from './tasks-routes.ts';
import { accepted } from './task-shape.ts';

/** The way back for a task that came to nothing. */
export function retryRoutes(parts: AcceptParts): Route[] {
  return [
    {
      method: 'post',
      path: '/api/v2/agents/tasks/:taskId/retry',
      guard: 'user',
      summary: 'Submits the work of a task that came to nothing again, as a new task that names it in retry_of.',
      shape: { answers: { 202: accepted.extend({ retry_of: z.uuid() }) } },
      handler: (request, response) => retry(parts, request, response),
    },
  ];
}

async function retry(parts: AcceptParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const id = requestId(response);
  const task = await findVisibleTask(parts, caller, pathParameter(request, 'taskId'), id);
  const idempotency = {
    actor: caller.actor.id,
    route: `POST tasks/${task.id}/retry`,
    key: request.get('Idempotency-Key'),
    body: request.body as unknown,
  };
  const stored = await replay(parts.database, idempotency);
  if (!stored) mustBeRetryable(task, caller.actor.id);
  const again = stored ? null : await prepareAgain(parts, caller, task, id);
  const answer =
    stored ??
    (await parts.database.transaction((tx) =>
      once(tx, parts.clock, idempotency, async () => {
        const taskId = (await again?.(tx)) ?? task.id;
        const letter = await lockLetterOf(tx, task.id);
        if (letter?.requeuedAs === null)
          await markRequeued(tx, letter.id, { at: parts.clock.now(), by: caller.actor.id, as: taskId });
        await parts.audit.append(tx, {
          actor: `user:${caller.actor.id}`,
          action: 'task.retry_requested',
          ...auditOf(task),
          outcome: 'success',
          requestId: id,
          data: { task_id: taskId },
        });
        return { status: 202, body: { id: taskId, status: 'queued', retry_of: task.id } };
      }),
    ));
  parts.admitSoon();
  const { id: taskId } = answer.body as { id: string };
  response.status(answer.status).location(`/api/v2/agents/tasks/${taskId}`).json(answer.body);
}

const came: readonly (TaskOutcome | null)[] = ['succeeded', 'no_change'];

function mustBeRetryable(task: TaskRecord, actorId: string): void {
  if (task.ownerId !== actorId)
    throw new ServiceError(
      'forbidden',
      'not_owner',
      'Only its owner can have a task done again, because it works with the rights of whoever asks. Submit one of your own.',
    );
  if (task.state !== 'finished')
    throw new ServiceError(
      'conflict',
      'task_not_finished',
      `This task is ${task.state}. Wait for its end, or stop it.`,
    );
  if (came.includes(task.outcome))
    throw new ServiceError('conflict', 'task_succeeded', `This task is done (${task.outcome}). Submit a new one.`);
  if (task.workflowId !== null)
    throw new ServiceError(
      'conflict',
      'task_of_workflow',
      `This task is step '${task.stepId}' of workflow ${task.workflowId}. Retry the workflow from that step.`,
    );
}
