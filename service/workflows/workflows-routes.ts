import type { Request, Response } from 'express';
import type { AuditLog } from '../audit/audit-log.ts';
import { callerOf } from '../identity/identity.ts';
import { isUuid, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { notFound } from '../platform/errors.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { once, replay, type StoredAnswer } from '../platform/idempotency.ts';
import { mustHaveRoom } from '../tasks/queue-room.ts';
import { tasksOfWorkflow } from '../tasks/task-store.ts';
import type { TaskRecord } from '../tasks/task.ts';
import { checkWorkflow, startsAtOnce, submitWorkflow, workflowBody, type CheckParts } from './submit-workflow.ts';
import { listWorkflowIds, readWorkflow, type WorkflowRecord } from './workflow-store.ts';
import { presentWorkflow, summarizeWorkflow } from './workflow.ts';

export interface WorkflowRouteParts extends CheckParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly engine: Pick<Engine, 'enqueue'>;
  readonly clock: Clock;
  /** How many tasks may wait. */
  readonly queueMax: number;
}

const base = '/api/v2/agents/agentzero/workflows';

export function workflowsRoutes(parts: WorkflowRouteParts): Route[] {
  return [
    {
      method: 'post',
      path: base,
      guard: 'user',
      summary: 'Submits a workflow: steps with dependencies, each a task.',
      handler: (request, response) => submit(parts, request, response),
    },
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your workflows, newest first.',
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const ids = await listWorkflowIds(parts.database, { ownerId: callerOf(response).actor.id, limit, cursor });
        const items = [];
        for (const id of ids) items.push(await read(parts, id, summarizeWorkflow));
        response.json({ items, next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'get',
      path: `${base}/:workflowId`,
      guard: 'user',
      summary: 'Reads a workflow with the state of each step.',
      handler: async (request, response) => {
        const id = pathParameter(request, 'workflowId');
        const workflow = isUuid(id) ? await readWorkflow(parts.database, id) : null;
        if (!workflow) throw notFound(`Workflow '${id}'`);
        for (const workspaceId of new Set(workflow.steps.map((step) => step.workspace.id))) {
          const thing = { what: `Workflow '${id}'`, ownerId: workflow.ownerId, workspaceId };
          await parts.authorize.use(callerOf(response), thing, requestId(response));
        }
        response.json(await read(parts, id, presentWorkflow));
      },
    },
  ];
}

async function read<Shape>(
  parts: WorkflowRouteParts,
  id: string,
  present: (workflow: WorkflowRecord, tasks: ReadonlyMap<string, TaskRecord>) => Shape,
): Promise<Shape> {
  const workflow = await readWorkflow(parts.database, id);
  if (!workflow) throw notFound(`Workflow '${id}'`);
  return present(workflow, await tasksOfWorkflow(parts.database, id));
}

async function submit(parts: WorkflowRouteParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const requested = requestId(response);
  const key = request.get('Idempotency-Key');
  const idempotency = { actor: caller.actor.id, route: 'POST agentzero/workflows', key, body: request.body as unknown };
  const accept = async (): Promise<StoredAnswer> => {
    const checked = await checkWorkflow(parts, caller, parse(workflowBody, request.body, 'The workflow'), requested);
    return parts.database.transaction((tx) =>
      once(tx, parts.clock, idempotency, async () => {
        await mustHaveRoom(tx, parts.queueMax, { ownerId: caller.actor.id, tasks: startsAtOnce(checked) });
        return {
          status: 201,
          body: { id: await submitWorkflow(tx, parts, caller, checked, requested), status: 'queued' },
        };
      }),
    );
  };
  const answer = (await replay(parts.database, idempotency)) ?? (await accept());
  const { id } = answer.body as { id: string };
  response.status(answer.status).location(`${base}/${id}`).json(answer.body);
}
