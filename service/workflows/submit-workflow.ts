import { z } from 'zod';
import type { AuditLog } from '../audit/audit-log.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Authorize } from '../identity/authorize.ts';
import type { Caller } from '../identity/identity.ts';
import { limits } from '../../modules/contract.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { mustHaveRoom } from '../tasks/queue-room.ts';
import { checkWork, workFields, type Submitter } from '../tasks/submit-task.ts';
import { narrow, type WorkBounds } from '../tasks/work-bounds.ts';
import { ancestors, checkGraph, outputInParams, outputNotReady, stepsUsed, type GraphStep } from './graph.ts';
import { hintsOf } from './step-params.ts';
import { appendWorkflowEvents } from './workflow-events.ts';
import { insertWorkflow, type NewStep } from './workflow-store.ts';
import { runWorkflowName, runWorkflowId } from './run-workflow.ts';

/** As many steps as one workflow may have. */
export const maxSteps = 1_000;

const stepId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'use 1 to 63 letters, digits, _ or -');
const workspaceReference = z.string().min(1).max(200);

/** Body of `POST …/agentzero/workflows`. */
export const workflowBody = z.strictObject({
  name: z.string().trim().min(1).max(200),
  workspace_id: workspaceReference.optional(),
  max_parallel: z.number().int().min(1).max(100).default(10),
  /** What its owner agrees that it may cost, where the admin asks for that above a threshold. */
  approved_cost_micro_usd: z.number().int().min(0).optional(),
  steps: z
    .array(
      z.strictObject({
        id: stepId,
        agent: z.string().min(1).max(100),
        task: z.string().min(1).max(100),
        depends_on: z.array(stepId).max(100).default([]),
        /** Makes these good: runs only when one of them began and did not succeed. */
        on_failure_of: z.array(stepId).max(100).default([]),
        /** It begins only when a person has let it. */
        approval: z.boolean().default(false),
        params: z
          .looseObject({
            prompt: z
              .string()
              .refine((text) => text.trim() !== '', 'the prompt is empty; leave it out to use the action’s own')
              .refine((text) => Buffer.byteLength(text) <= limits.promptBytes, 'the prompt is larger than 256 KiB')
              .optional(),
          })
          .prefault({}),
        workspace_id: workspaceReference.optional(),
        ...workFields,
      }),
    )
    .min(1, 'a workflow needs at least one step')
    .max(maxSteps),
});
export type WorkflowBody = z.output<typeof workflowBody>;

/** A workflow that was checked and whose workspaces are known. */
export interface CheckedWorkflow {
  readonly name: string;
  readonly maxParallel: number;
  readonly steps: readonly NewStep[];
}

export interface CheckParts {
  readonly bounds: WorkBounds;
  readonly workspaceBounds: BoundsReader;
  readonly authorize: Authorize;
  /** Throws `unprocessable` where the steps may cost more than was approved; left out, nothing is asked. */
  readonly checkCost?: (steps: readonly NewStep[], approvedMicroUsd: number | undefined) => Promise<void>;
}

/** A workspace, and what work may ask for in it. */
export interface Place {
  readonly workspace: CoderWorkspace;
  readonly bounds: WorkBounds;
}

/** Finds the workspace that a reference means, or the only one there is; throws where there is none. */
export type FindPlace = (reference: string | undefined) => Promise<Place>;

/** Checks the graph (400), then agents and actions (422), then what each step's workspace allows (422). */
export const checkWorkflow = (
  parts: CheckParts,
  caller: Caller,
  body: WorkflowBody,
  requestId: string,
): Promise<CheckedWorkflow> => checkWorkflowIn(parts, findPlaces(parts, caller, requestId), body);

/** Hears why a step, by its id, may not run. */
export type Refused = (stepId: string, error: unknown) => void;

const rethrow: Refused = (_stepId, error) => {
  throw error;
};

/**
 * `checkWorkflow` for a workflow that begins without a request: `placeOf` says where its owner may work.
 *
 * With `refused` that does not throw, every step is looked at, and those that may run come back.
 */
export async function checkWorkflowIn(
  parts: Pick<CheckParts, 'bounds' | 'checkCost'>,
  placeOf: FindPlace,
  body: WorkflowBody,
  refused: Refused = rethrow,
): Promise<CheckedWorkflow> {
  const graph = body.steps.map((step) => ({ id: step.id, dependsOn: [...step.depends_on, ...step.on_failure_of] }));
  checkGraph(graph);
  const isRefused = new Set<string>();
  const attempt = async <Result>(stepId: string, check: () => Result | Promise<Result>): Promise<Result[]> => {
    if (isRefused.has(stepId)) return [];
    try {
      return [await check()];
    } catch (error) {
      isRefused.add(stepId);
      refused(stepId, error);
      return [];
    }
  };
  for (const step of body.steps) await attempt(step.id, () => parts.bounds.registry.action(step.agent, step.task));
  const steps: NewStep[] = [];
  for (const [position, step] of body.steps.entries())
    steps.push(...(await attempt(step.id, () => checkStep(placeOf, body, graph, step, position))));
  if (isRefused.size === 0) await parts.checkCost?.(steps, body.approved_cost_micro_usd);
  return { name: body.name, maxParallel: body.max_parallel, steps };
}

async function checkStep(
  placeOf: FindPlace,
  body: WorkflowBody,
  graph: readonly GraphStep[],
  step: WorkflowBody['steps'][number],
  position: number,
): Promise<NewStep> {
  const { workspace, bounds } = await placeOf(step.workspace_id ?? body.workspace_id);
  const { prompt, ...params } = step.params;
  const action = bounds.registry.action(step.agent, step.task);
  const hints = hintsOf(step.agent, action, params);
  const given = { ...step, prompt, hints, payload: step.params, params };
  const work = checkWork(bounds, step.agent, step.task, given);
  if (action.params && stepsUsed(JSON.stringify(params)).length > 0) throw outputInParams(step.id);
  const used = stepsUsed(work.prompt);
  const earlier = used.length > 0 ? ancestors(graph, step.id) : new Set();
  for (const one of used) if (!earlier.has(one)) throw outputNotReady(step.id, one);
  const { depends_on: dependsOn, on_failure_of: onFailureOf, approval: needsApproval } = step;
  return { stepId: step.id, position, dependsOn, onFailureOf, needsApproval, work, workspace };
}

/** How many steps of a workflow become tasks when it begins. */
const startsAtOnce = ({ steps, maxParallel }: CheckedWorkflow): number =>
  Math.min(
    steps.filter(({ dependsOn, onFailureOf }) => dependsOn.length + onFailureOf.length === 0).length,
    maxParallel,
  );

/** Looks each workspace up once, with what is allowed in it. */
export function findPlaces(parts: CheckParts, caller: Caller, requestId: string): FindPlace {
  const known = new Map<string | undefined, Place>();
  return async (reference) => {
    const found = known.get(reference);
    if (found) return found;
    const workspace = await parts.authorize.workspace(caller, reference, requestId);
    const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId });
    const place = { workspace, bounds: narrow(parts.bounds, inWorkspace) };
    known.set(reference, place);
    return place;
  };
}

export interface StartParts {
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly engine: Pick<Engine, 'enqueue'>;
  /** How many tasks may wait. */
  readonly queueMax: number;
}

/**
 * Stores a checked workflow, its audit row and its durable run in the caller's transaction. Answers its id.
 *
 * Errors  `unavailable` or `rate_limited` where no more tasks may wait; nothing is stored then.
 */
export async function startWorkflow(
  tx: Transaction,
  parts: StartParts,
  owner: Submitter,
  workflow: CheckedWorkflow,
  requestId: string,
  id = uuidv7(parts.clock),
): Promise<string> {
  await mustHaveRoom(tx, parts.queueMax, { ownerId: owner.id, tasks: startsAtOnce(workflow) });
  const now = parts.clock.now();
  await insertWorkflow(tx, {
    id,
    name: workflow.name,
    ownerId: owner.id,
    ownerName: owner.name,
    commitIdentity: owner.commitIdentity,
    maxParallel: workflow.maxParallel,
    requestId,
    createdAt: now,
    steps: workflow.steps,
  });
  await parts.audit.append(tx, {
    actor: `user:${owner.id}`,
    action: 'workflow.submitted',
    target: { type: 'workflow', id },
    outcome: 'success',
    ownerId: owner.id,
    organizationId: workflow.steps[0]?.workspace.organizationId ?? null,
    workspaceId: workflow.steps[0]?.workspace.id ?? null,
    requestId,
    data: { steps: workflow.steps.length },
  });
  await appendWorkflowEvents(tx, { id, run: 1 }, [
    { type: 'workflow.submitted', at: now, data: { steps: workflow.steps.length } },
  ]);
  await parts.engine.enqueue(tx, { workflow: runWorkflowName, id: runWorkflowId(id, 1), input: { workflow_id: id } });
  return id;
}
