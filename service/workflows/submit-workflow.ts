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
import { checkWork, workFields } from '../tasks/submit-task.ts';
import { narrow, type WorkBounds } from '../tasks/work-bounds.ts';
import { ancestors, checkGraph, outputInParams, outputNotReady, outputsUsed } from './graph.ts';
import { insertWorkflow, type StepRecord } from './workflow-store.ts';
import { runWorkflowName, runWorkflowId } from './run-workflow.ts';

const stepId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'use 1 to 63 letters, digits, _ or -');
const workspaceReference = z.string().min(1).max(200);

/** Body of `POST …/agentzero/workflows`. */
export const workflowBody = z.strictObject({
  name: z.string().trim().min(1).max(200),
  workspace_id: workspaceReference.optional(),
  max_parallel: z.number().int().min(1).max(100).default(10),
  steps: z
    .array(
      z.strictObject({
        id: stepId,
        agent: z.string().min(1).max(100),
        task: z.string().min(1).max(100),
        depends_on: z.array(stepId).max(100).default([]),
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
    .max(100),
});
export type WorkflowBody = z.output<typeof workflowBody>;

/** A workflow that was checked and whose workspaces are known. */
export interface CheckedWorkflow {
  readonly name: string;
  readonly maxParallel: number;
  readonly steps: readonly StepRecord[];
}

export interface CheckParts {
  readonly bounds: WorkBounds;
  readonly workspaceBounds: BoundsReader;
  readonly authorize: Authorize;
}

/** Checks the graph (400), then agents and actions (422), then what each step's workspace allows (422). */
export async function checkWorkflow(
  parts: CheckParts,
  caller: Caller,
  body: WorkflowBody,
  requestId: string,
): Promise<CheckedWorkflow> {
  const graph = body.steps.map((step) => ({ id: step.id, dependsOn: step.depends_on }));
  checkGraph(graph);
  for (const step of body.steps) parts.bounds.registry.action(step.agent, step.task);
  const placeOf = findPlaces(parts, caller, requestId);
  const steps: StepRecord[] = [];
  for (const [position, step] of body.steps.entries()) {
    const { workspace, bounds } = await placeOf(step.workspace_id ?? body.workspace_id);
    const { prompt, ...params } = step.params;
    const given = { ...step, prompt, payload: step.params, params };
    const work = checkWork(bounds, step.agent, step.task, given);
    const { params: taken } = bounds.registry.action(step.agent, step.task);
    if (taken && outputsUsed(JSON.stringify(params)).length > 0) throw outputInParams(step.id);
    const earlier = ancestors(graph, step.id);
    for (const used of outputsUsed(work.prompt)) if (!earlier.has(used)) throw outputNotReady(step.id, used);
    steps.push({ stepId: step.id, position, dependsOn: step.depends_on, work, workspace, canceledAt: null });
  }
  return { name: body.name, maxParallel: body.max_parallel, steps };
}

/** How many steps of a workflow become tasks when it begins. */
export const startsAtOnce = ({ steps, maxParallel }: CheckedWorkflow): number =>
  Math.min(steps.filter(({ dependsOn }) => dependsOn.length === 0).length, maxParallel);

/** Looks each workspace up once, with what is allowed in it. */
function findPlaces(parts: CheckParts, caller: Caller, requestId: string) {
  const known = new Map<string | undefined, { readonly workspace: CoderWorkspace; readonly bounds: WorkBounds }>();
  return async (reference: string | undefined) => {
    const found = known.get(reference);
    if (found) return found;
    const workspace = await parts.authorize.workspace(caller, reference, requestId);
    const inWorkspace = await parts.workspaceBounds.of(workspace, { actor: `user:${caller.actor.id}`, requestId });
    const place = { workspace, bounds: narrow(parts.bounds, inWorkspace) };
    known.set(reference, place);
    return place;
  };
}

/** Stores a workflow, its audit row and its durable run in the caller's transaction. Answers its id. */
export async function submitWorkflow(
  tx: Transaction,
  parts: { audit: AuditLog; clock: Clock; engine: Pick<Engine, 'enqueue'> },
  caller: Caller,
  workflow: CheckedWorkflow,
  requestId: string,
): Promise<string> {
  const id = uuidv7(parts.clock);
  await insertWorkflow(tx, {
    id,
    name: workflow.name,
    ownerId: caller.actor.id,
    ownerName: caller.actor.name,
    commitIdentity: caller.commitIdentity,
    maxParallel: workflow.maxParallel,
    requestId,
    createdAt: parts.clock.now(),
    steps: workflow.steps,
  });
  await parts.audit.append(tx, {
    actor: `user:${caller.actor.id}`,
    action: 'workflow.submitted',
    target: { type: 'workflow', id },
    outcome: 'success',
    ownerId: caller.actor.id,
    organizationId: workflow.steps[0]?.workspace.organizationId ?? null,
    workspaceId: workflow.steps[0]?.workspace.id ?? null,
    requestId,
    data: { steps: workflow.steps.length },
  });
  await parts.engine.enqueue(tx, { workflow: runWorkflowName, id: runWorkflowId(id), input: { workflow_id: id } });
  return id;
}
