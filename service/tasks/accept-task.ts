import type { Request, Response } from 'express';
import type { AuditLog } from '../audit/audit-log.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf, type Caller } from '../identity/identity.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, requestId } from '../platform/http.ts';
import { once, replay, type IdempotencyRequest, type StoredAnswer } from '../platform/idempotency.ts';
import { mustHaveRoom } from './queue-room.ts';
import {
  checkWork,
  executeBody,
  submitTask,
  taskBody,
  type Submitter,
  type TaskBody,
  type Work,
} from './submit-task.ts';
import { narrow, type WorkBounds } from './work-bounds.ts';

export interface AcceptParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly authorize: Authorize;
  readonly bounds: WorkBounds;
  readonly workspaceBounds: BoundsReader;
  /** How many tasks may wait. */
  readonly queueMax: number;
  /** Looks for what may start, without keeping the caller waiting for it. */
  readonly admitSoon: () => void;
}

export const submitterOf = (caller: Caller): Submitter => ({
  id: caller.actor.id,
  name: caller.actor.name,
  commitIdentity: caller.commitIdentity,
});

/** How a route reads its body; throws `invalid` or `unprocessable`. */
export interface AcceptedBy {
  /** Names the route for `Idempotency-Key`. */
  readonly route: string;
  readonly read: (body: unknown, bounds: WorkBounds) => TaskBody;
}

/** Answers 202 with the id of the task that a request stands for; the same request again names the same task. */
export async function acceptTask(
  parts: AcceptParts,
  by: AcceptedBy,
  request: Request,
  response: Response,
): Promise<void> {
  const caller = callerOf(response);
  const key = request.get('Idempotency-Key');
  const idempotency = { actor: caller.actor.id, route: by.route, key, body: request.body as unknown };
  const answer =
    (await replay(parts.database, idempotency)) ??
    (await accept(parts, caller, by.read(request.body, parts.bounds), requestId(response), idempotency));
  parts.admitSoon();
  const { id } = answer.body as { id: string };
  response.status(answer.status).location(`/api/v2/agents/tasks/${id}`).json(answer.body);
}

/** What a body asks for, within what its workspace allows. Throws `unprocessable`. */
export function checkTask(bounds: WorkBounds, body: TaskBody): Work {
  const { action, language, prompt, context, params } = body.payload;
  const hints = { language, file_path: context.file_path };
  return checkWork(bounds, body.type, action, { ...body, prompt, hints, payload: body.payload, params });
}

/** Checks a task and stores it, or answers what the same request got first. */
async function accept(
  parts: AcceptParts,
  caller: Caller,
  body: TaskBody,
  id: string,
  idempotency: IdempotencyRequest,
): Promise<StoredAnswer> {
  const workspace = await parts.authorize.workspace(caller, body.payload.context.workspace_id, id);
  const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId: id });
  const work = checkTask(narrow(parts.bounds, inWorkspace), body);
  return parts.database.transaction((tx) =>
    once(tx, parts.clock, idempotency, async () => {
      await mustHaveRoom(tx, parts.queueMax, { ownerId: caller.actor.id, tasks: 1 });
      const taskId = await submitTask(tx, parts, { work, workspace, submitter: submitterOf(caller), requestId: id });
      return { status: 202, body: { id: taskId, status: 'queued' } };
    }),
  );
}

/** The body of `POST …/opencode/tasks`. */
export function readOpenCodeTask(given: unknown, { registry }: WorkBounds): TaskBody {
  const body = parse(taskBody, given, 'The task');
  if (body.type !== 'opencode') throw wrongType(body.type);
  registry.action(body.type, body.payload.action);
  return body;
}

/** The body of `POST …/execute`: the agent follows from what it asks for. */
export function readAnyTask(given: unknown, { registry }: WorkBounds): TaskBody {
  const body = parse(executeBody, given, 'The task');
  const agent = registry.route({ type: body.type, action: body.payload.action });
  return { ...body, type: agent.name() };
}

const wrongType = (type: string): ServiceError =>
  new ServiceError(
    'unprocessable',
    'type_unknown',
    `This route takes tasks of type 'opencode', not '${type}'. Workflows go to /api/v2/agents/agentzero/workflows.`,
  );
