import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf, type Caller } from '../identity/identity.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, requestId } from '../platform/http.ts';
import { estimateSteps, sumEstimates, type StepEstimate } from './estimate.ts';
import { agentsOf, shapeOf, workspacesOf } from './plan.ts';
import { secretsOf, type SecretParts } from './plan-secrets.ts';
import { checkWorkflowIn, findPlaces, workflowBody, type CheckParts, type WorkflowBody } from './submit-workflow.ts';
import type { NewStep } from './workflow-store.ts';

export interface PlanParts extends CheckParts, SecretParts {
  /** Above it an owner must agree to the cost; null asks nobody. */
  readonly approvalAboveMicroUsd: number | null;
}

/** Why a step, or with `null` the whole, would be refused. */
export interface Violation {
  readonly step_id: string | null;
  readonly code: string;
  readonly message: string;
}

/** Query of what may answer a plan instead. */
export const dryRun = z.object({ dry_run: z.enum(['true', 'false']).default('false') });

/** Throws `invalid` for a word that is neither true nor false: it must not start anything. */
export const isDryRun = ({ query }: Pick<Request, 'query'>): boolean =>
  parse(dryRun, query, 'The query').dry_run === 'true';

export type WorkflowPlan = Awaited<ReturnType<typeof planWorkflow>>;

/** Answers 200 with what a workflow would do, start, touch and cost. Nothing is stored and nothing begins. */
export async function answerPlan(parts: PlanParts, request: Request, response: Response): Promise<void> {
  const body = parse(workflowBody, request.body, 'The workflow');
  response.json(await planWorkflow(parts, callerOf(response), body, requestId(response)));
}

/**
 * The plan of a workflow: the same for the same body while workspaces, rules and history stay the same.
 *
 * Errors  `invalid` for a structure that cannot run at all; what is not allowed stands in `violations`, all of it.
 */
export async function planWorkflow(parts: PlanParts, caller: Caller, body: WorkflowBody, id: string) {
  const violations: Violation[] = [];
  const { checkCost: _later, ...checks } = parts;
  const { steps } = await checkWorkflowIn(checks, findPlaces(parts, caller, id), body, (stepId, error) =>
    violations.push(violationOf(stepId, error)),
  );
  const organizationId = steps[0]?.workspace.organizationId ?? '';
  const estimates = await estimateSteps(parts.database, organizationId, steps);
  const estimate = sumEstimates(estimates);
  await parts.checkCost?.(steps, body.approved_cost_micro_usd).catch((error: unknown) => {
    violations.push(violationOf(null, error));
  });
  return {
    name: body.name,
    graph: {
      ...shapeOf(body.steps.map((step) => ({ id: step.id, dependsOn: [...step.depends_on, ...step.on_failure_of] }))),
      max_parallel: body.max_parallel,
    },
    steps: steps.map((step, index) => presentStep(step, estimates[index])),
    agents: agentsOf(body.steps),
    workspaces: workspacesOf(steps),
    secrets: await secretsOf(parts, steps, id),
    estimate: steps.length < body.steps.length ? partOf(estimate) : estimate,
    approval: {
      above_micro_usd: parts.approvalAboveMicroUsd,
      required: violations.some(({ code }) => code === 'cost_not_approved'),
    },
    violations,
  };
}

/** Steps that may not run have no workspace and no model, so nobody can say what the whole would use. */
const partOf = (estimate: ReturnType<typeof sumEstimates>): ReturnType<typeof sumEstimates> => ({
  tokens: null,
  cost_micro_usd: null,
  reason: ['Some steps may not run, see violations.', estimate.reason].filter((part) => part !== null).join(' '),
});

const presentStep = (
  { stepId, dependsOn, onFailureOf, work, workspace }: NewStep,
  estimate: StepEstimate | undefined,
) => ({
  id: stepId,
  agent: work.agent,
  task: work.action,
  depends_on: dependsOn,
  on_failure_of: onFailureOf,
  workspace_id: workspace.id,
  model: work.model,
  profile: work.profile,
  fallback: work.fallback,
  timeout_seconds: work.timeoutMs / 1_000,
  max_attempts: work.maxAttempts,
  estimate: estimate && {
    tasks: estimate.tasks,
    tokens: estimate.tokens,
    cost_micro_usd: estimate.cost_micro_usd,
    reason: estimate.reason,
  },
});

const refusing: readonly ServiceError['kind'][] = ['unprocessable', 'not_found'];

/** What a submission would be refused for. A structure that cannot run, or a part that is away, is no answer. */
function violationOf(stepId: string | null, error: unknown): Violation {
  if (!(error instanceof ServiceError) || !(refusing.includes(error.kind) || error.code === 'feature_off')) throw error;
  return { step_id: stepId, code: error.code, message: error.message };
}
