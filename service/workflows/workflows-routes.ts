import type { Request, Response } from 'express';
import { callerOf, type Caller } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import { notFound } from '../platform/errors.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { once, replay, type StoredAnswer } from '../platform/idempotency.ts';
import { submitterOf } from '../tasks/accept-task.ts';
import { summariesOfWorkflows, tasksOfWorkflow } from '../tasks/step-tasks.ts';
import { cancelWorkflow, type CancelParts } from './cancel-workflow.ts';
import { answerPlan, dryRun, isDryRun, type PlanParts } from './plan-workflow.ts';
import { retryBody, retryWorkflow, stepsToRetry } from './retry-workflow.ts';
import {
  checkWorkflow,
  findPlaces,
  startWorkflow,
  workflowBody,
  type CheckParts,
  type StartParts,
} from './submit-workflow.ts';
import { refusalOf } from '../tasks/work-bounds.ts';
import type { EventStream } from '../tasks/event-stream.ts';
import { presentWorkflow, summarizeWorkflow } from './present-workflow.ts';
import { listWorkflows, summarizeSteps, workspacesOf } from './workflow-lists.ts';
import { readHead, readWorkflow, type WorkflowHead } from './workflow-store.ts';
import { planAnswer, workflowAccepted, workflowAnswer, workflowSummary } from './workflow-shape.ts';

export interface WorkflowRouteParts extends CheckParts, CancelParts, StartParts {
  readonly engine: CancelParts['engine'] & StartParts['engine'];
  /** The events of workflows. */
  readonly progress: EventStream;
  readonly planning: PlanParts;
}

export const workflowsPath = '/api/v2/agents/agentzero/workflows';
const base = workflowsPath;

const shapes = {
  submit: { query: dryRun, body: workflowBody, answers: { 200: planAnswer, 201: workflowAccepted } },
  list: { query: listQuery, answers: { 200: listAnswer(workflowSummary) } },
  read: { answers: { 200: workflowAnswer } },
  changed: { answers: { 202: workflowAnswer } },
  events: { answers: { 200: 'text/event-stream' } },
};

/** The workflow an id names, if the caller may see it. Throws `not_found`. */
export async function findVisibleWorkflow(
  parts: Pick<WorkflowRouteParts, 'database' | 'authorize'>,
  caller: Caller,
  id: string,
  request: string,
): Promise<WorkflowHead> {
  const workflow = isUuid(id) ? await readHead(parts.database, id) : null;
  if (!workflow) throw notFound(`Workflow '${id}'`);
  for (const workspaceId of await workspacesOf(parts.database, id)) {
    const thing = { what: `Workflow '${id}'`, ownerId: workflow.ownerId, workspaceId };
    await parts.authorize.use(caller, thing, request);
  }
  return workflow;
}

export function workflowsRoutes(parts: WorkflowRouteParts): Route[] {
  const visibleWorkflow = (request: Request, response: Response): Promise<WorkflowHead> =>
    findVisibleWorkflow(parts, callerOf(response), pathParameter(request, 'workflowId'), requestId(response));

  return [
    {
      method: 'post',
      path: base,
      guard: 'user',
      summary: 'Submits a workflow: steps with dependencies, each a task; ?dry_run=true answers its plan instead.',
      shape: shapes.submit,
      handler: (request, response) =>
        isDryRun(request) ? answerPlan(parts.planning, request, response) : submit(parts, request, response),
    },
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your workflows, newest first.',
      shape: shapes.list,
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const ownerId = callerOf(response).actor.id;
        const workflows = await listWorkflows(parts.database, { ownerId, limit, cursor });
        const ids = workflows.map(({ id }) => id);
        const steps = await summarizeSteps(parts.database, ids);
        const tasks = await summariesOfWorkflows(parts.database, ids);
        const items = workflows.map((one) => summarizeWorkflow(one, steps.get(one.id) ?? [], tasks.get(one.id) ?? []));
        response.json({ items, next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'get',
      path: `${base}/:workflowId`,
      guard: 'user',
      summary: 'Reads a workflow with the state of each step.',
      shape: shapes.read,
      handler: async (request, response) => {
        const { id } = await visibleWorkflow(request, response);
        response.json(await present(parts, id));
      },
    },
    {
      method: 'post',
      path: `${base}/:workflowId/cancel`,
      guard: 'user',
      summary: 'Cancels a workflow: nothing more starts, and what runs is stopped.',
      shape: shapes.changed,
      handler: async (request, response) => {
        const { id } = await visibleWorkflow(request, response);
        await cancelWorkflow(parts, id, callerOf(response).actor.id, requestId(response));
        response.status(202).json(await present(parts, id));
      },
    },
    {
      method: 'post',
      path: `${base}/:workflowId/retry`,
      guard: 'user',
      summary: 'Takes a finished workflow up again from a step.',
      shape: { body: retryBody, ...shapes.changed },
      handler: (request, response) => retry(parts, request, response),
    },
    {
      method: 'get',
      path: `${base}/:workflowId/events`,
      guard: 'user',
      summary:
        'Streams the progress of a workflow: Server-Sent Events, or a WebSocket with the same; from after Last-Event-ID.',
      shape: shapes.events,
      handler: async (request, response) => {
        const { id } = await visibleWorkflow(request, response);
        await parts.progress.serve(request, response, id);
      },
    },
  ];
}

async function present(parts: WorkflowRouteParts, id: string): Promise<ReturnType<typeof presentWorkflow>> {
  const workflow = await readWorkflow(parts.database, id);
  if (!workflow) throw notFound(`Workflow '${id}'`);
  return presentWorkflow(workflow, await tasksOfWorkflow(parts.database, id));
}

/** Only its owner's: what runs anew runs in the owner's name. Coder and the bounds are asked again, as at first. */
async function retry(parts: WorkflowRouteParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const id = pathParameter(request, 'workflowId');
  const { from, approved_cost_micro_usd: approved } = parse(retryBody, request.body, 'The retry');
  const workflow = isUuid(id) ? await readWorkflow(parts.database, id) : null;
  if (workflow?.ownerId !== caller.actor.id) throw notFound(`Workflow '${id}'`);
  const by = { actorId: caller.actor.id, requestId: requestId(response) };
  const placeOf = findPlaces(parts, caller, by.requestId);
  for (const step of workflow.steps) {
    const refusal = refusalOf((await placeOf(step.workspace.id)).bounds, step.work);
    if (refusal) throw refusal;
  }
  if (workflow.outcome) {
    const again = await parts.database.transaction((tx) => stepsToRetry(tx, id, from));
    await parts.checkCost?.(
      workflow.steps.filter(({ stepId }) => again.includes(stepId)),
      approved,
    );
  }
  const key = request.get('Idempotency-Key');
  const route = `POST agentzero/workflows/${id}/retry`;
  await parts.database.transaction((tx) =>
    once(tx, parts.clock, { actor: by.actorId, route, key, body: request.body as unknown }, async () => {
      await retryWorkflow(tx, parts, id, from, by);
      return { status: 202, body: { id } };
    }),
  );
  response.status(202).json(await present(parts, id));
}

async function submit(parts: WorkflowRouteParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const requested = requestId(response);
  const key = request.get('Idempotency-Key');
  const idempotency = { actor: caller.actor.id, route: 'POST agentzero/workflows', key, body: request.body as unknown };
  const accept = async (): Promise<StoredAnswer> => {
    const checked = await checkWorkflow(parts, caller, parse(workflowBody, request.body, 'The workflow'), requested);
    return parts.database.transaction((tx) =>
      once(tx, parts.clock, idempotency, async () => ({
        status: 201,
        body: { id: await startWorkflow(tx, parts, submitterOf(caller), checked, requested), status: 'queued' },
      })),
    );
  };
  const answer = (await replay(parts.database, idempotency)) ?? (await accept());
  const { id } = answer.body as { id: string };
  response.status(answer.status).location(`${base}/${id}`).json(answer.body);
}
