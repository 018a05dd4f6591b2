import { z } from 'zod';
import { reasons, taskOutcomes, taskStates, workflowOutcomes, workflowStates } from '../../modules/contract.ts';
import { evidence } from '../bridge/frames.ts';
import { usageShape } from '../tasks/task-shape.ts';

const stepOutcomes = [...taskOutcomes, 'skipped'] as const;
const time = z.iso.datetime();
const count = z.number().int();
const ids = z.array(z.string());

const stepFields = {
  id: z.string(),
  agent: z.string(),
  task: z.string(),
  depends_on: ids,
  on_failure_of: ids,
  approval: z.boolean(),
  workspace_id: z.string(),
  run: count,
  task_id: z.uuid().nullable(),
  state: z.enum(taskStates),
  outcome: z.enum(stepOutcomes).nullable(),
  reason: z.enum(reasons).nullable(),
  message: z.string().nullable(),
  attempts: count,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  branch: z.string().nullable(),
  commit: z.string().nullable(),
  verify: z.strictObject({ exit: count.nullable(), timed_out: z.boolean() }).nullable(),
  usage: usageShape.nullable(),
  earlier: z.array(
    z.strictObject({
      run: count,
      task_id: z.uuid(),
      outcome: z.enum(stepOutcomes).nullable(),
      reason: z.enum(reasons).nullable(),
    }),
  ),
};

const headFields = {
  id: z.uuid(),
  name: z.string(),
  status: z.enum(workflowStates),
  state: z.enum(workflowStates),
  outcome: z.enum(workflowOutcomes).nullable(),
  owner_id: z.string(),
  owner_name: z.string(),
  max_parallel: count,
  run: count,
  cancel_requested_at: time.nullable(),
  created_at: time,
  finished_at: time.nullable(),
  usage: usageShape,
};

/** A workflow in a list. */
export const workflowSummary = z
  .strictObject({ ...headFields, steps: z.array(z.strictObject(stepFields)) })
  .meta({ id: 'WorkflowSummary' });

const result = z.strictObject({
  outcome: z.enum(workflowOutcomes).nullable(),
  run: count,
  outputs: z.record(z.string(), z.string().nullable()),
  evidence: z.record(
    z.string(),
    z.looseObject({
      outcome: z.enum(stepOutcomes).nullable(),
      reason: z.enum(reasons).nullable(),
      message: z.string().nullable(),
      task_id: z.uuid().nullable(),
      ...evidence.omit({ last_message: true }).partial().shape,
    }),
  ),
  cost_micro_usd: count,
  usage: usageShape,
  usage_by_step: z.record(z.string(), usageShape.nullable()),
  duration_seconds: z.number().nullable(),
});

/** A workflow with what its steps made; `result` once it ended. */
export const workflowAnswer = z
  .strictObject({
    ...headFields,
    steps: z.array(
      z.strictObject({ ...stepFields, changed_files: z.array(z.string()), output: z.string().nullable() }),
    ),
    result: result.nullable(),
  })
  .meta({ id: 'Workflow' });

/** What was accepted under an id. */
export const workflowAccepted = z.strictObject({ id: z.uuid(), status: z.literal('queued') });

const range = z.strictObject({ low: z.number(), likely: z.number(), high: z.number() }).nullable();
const estimateFields = { tokens: range, cost_micro_usd: range, reason: z.string().nullable() };
export const estimateShape = z.strictObject(estimateFields);
export const graphShape = z.strictObject({ levels: z.array(ids), critical_path: ids, max_parallel: count });

/** What a workflow would do, need and cost, without running it. */
export const planAnswer = z
  .strictObject({
    name: z.string(),
    graph: graphShape,
    steps: z.array(
      z.strictObject({
        id: z.string(),
        agent: z.string(),
        task: z.string(),
        depends_on: ids,
        on_failure_of: ids,
        workspace_id: z.string(),
        model: z.string(),
        profile: z.string(),
        fallback: z.strictObject({ agent: z.string(), model: z.string() }).nullable(),
        timeout_seconds: z.number(),
        max_attempts: count,
        estimate: z.strictObject({ tasks: count, ...estimateFields }).optional(),
      }),
    ),
    agents: z.array(z.strictObject({ name: z.string(), runs_in: z.string(), actions: ids, steps: count })),
    workspaces: z.array(
      z.strictObject({
        id: z.string(),
        name: z.string(),
        build_status: z.string(),
        start: z.string(),
        message: z.string().nullable(),
        steps: ids,
      }),
    ),
    secrets: z.array(
      z.strictObject({
        use: z.enum(['agent', 'model', 'git']),
        agent: z.string().nullable(),
        credential: z.string().nullable(),
        env: z.string(),
        host: z.string().nullable(),
      }),
    ),
    estimate: estimateShape,
    approval: z.strictObject({ above_micro_usd: count.nullable(), required: z.boolean() }),
    violations: z.array(z.strictObject({ step_id: z.string().nullable(), code: z.string(), message: z.string() })),
  })
  .meta({ id: 'WorkflowPlan' });

/** A draft that a goal was turned into. */
export const draftAnswer = z
  .strictObject({
    id: z.uuid(),
    source: z.enum(['model', 'rules']),
    draft: z.looseObject({ name: z.string(), steps: z.array(z.looseObject({ id: z.string() })) }),
    explanation: z.string(),
    warnings: z.array(z.string()),
    graph: graphShape,
    estimate: estimateShape,
    approval_id: z.uuid().nullable(),
    workflow_id: z.uuid().nullable(),
    expires_at: time.nullable(),
  })
  .meta({ id: 'WorkflowDraft' });
