import type { Request, Response } from 'express';
import { z } from 'zod';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { CallBridge } from '../../bridge/call-bridge.ts';
import { callerOf } from '../../identity/identity.ts';
import type { Clock } from '../../platform/clock.ts';
import { ServiceError } from '../../platform/errors.ts';
import { listAnswer, parse, pathParameter, requestId, type Route } from '../../platform/http.ts';
import { appendEvent } from '../task-events.ts';
import { findVisibleTask } from '../tasks-routes.ts';
import { auditOf, type TaskRecord } from '../task.ts';
import type { RecordRouteParts } from './record-routes.ts';

export interface CheckpointRouteParts extends RecordRouteParts {
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly callBridge: CallBridge;
}

const base = '/api/v2/agents/tasks/:taskId';
const commit = z.string();
const checkpointShape = z
  .strictObject({ number: z.number().int(), commit, parent: commit, at: z.iso.datetime() })
  .meta({ id: 'Checkpoint' });
const restoreBody = z.strictObject({
  number: z.number().int().min(1).max(1_000_000),
  force: z.boolean().default(false),
});
const saved = z.strictObject({ number: z.number().int(), commit }).nullable();
const restoredShape = z.strictObject({ task_id: z.uuid(), number: z.number().int(), commit, saved });

/** The states of a task's work that its workspace has saved. Whoever may use the workspace may list and restore them. */
export function checkpointRoutes(parts: CheckpointRouteParts): Route[] {
  async function usableTask(request: Request, response: Response): Promise<TaskRecord> {
    const [caller, id] = [callerOf(response), requestId(response)];
    const task = await findVisibleTask(parts, caller, pathParameter(request, 'taskId'), id);
    await parts.authorize.act(caller, { what: `Task '${task.id}'`, ...task }, id);
    return task;
  }
  return [
    {
      method: 'get',
      path: `${base}/checkpoints`,
      guard: 'user',
      summary: 'Lists the checkpoints of a task that its running workspace holds, the oldest first.',
      shape: { answers: { 200: listAnswer(checkpointShape) } },
      handler: async (request, response) => {
        const task = await usableTask(request, response);
        const { checkpoints } = await parts.callBridge(task.workspaceId, 'checkpoints', { task_id: task.id });
        response.json({ items: checkpoints, next_cursor: null });
      },
    },
    {
      method: 'post',
      path: `${base}/restore`,
      guard: 'user',
      summary: 'Makes the work tree of a task that of a checkpoint; what lies there is saved first.',
      shape: { body: restoreBody, answers: { 200: restoredShape } },
      handler: async (request, response) => {
        const { number, force } = parse(restoreBody, request.body ?? {}, 'The request');
        const task = await usableTask(request, response);
        const restored = await parts.callBridge(task.workspaceId, 'restoreCheckpoint', {
          task_id: task.id,
          branch: task.branch,
          number,
          force,
          identity: task.commitIdentity,
        });
        await parts.database.transaction(async (tx) => {
          await parts.audit.append(tx, {
            actor: `user:${callerOf(response).actor.id}`,
            action: 'task.checkpoint_restored',
            ...auditOf(task),
            outcome: restored.applied ? 'success' : 'denied',
            requestId: requestId(response),
            data: { number, commit: restored.commit, saved: restored.saved?.number ?? null, force },
          });
          if (restored.applied)
            await appendEvent(tx, {
              taskId: task.id,
              attempt: task.attempt,
              type: 'checkpoint.restored',
              at: parts.clock.now(),
              data: { number, commit: restored.commit, saved: restored.saved?.number ?? null },
            });
        });
        if (!restored.applied) throw notCommitted(restored.saved?.number ?? 0);
        response.json({ task_id: task.id, number, commit: restored.commit, saved: restored.saved });
      },
    },
  ];
}

const notCommitted = (number: number): ServiceError =>
  new ServiceError(
    'conflict',
    'work_not_committed',
    `The work tree holds work that is not committed; it is saved as checkpoint ${number}, and nothing was restored. Commit it, or send "force": true.`,
  );
