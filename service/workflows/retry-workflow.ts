import { z } from 'zod';
import type { Engine } from '../platform/engine.ts';
import type { Transaction } from '../platform/database.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import { mustHaveRoom } from '../tasks/queue-room.ts';
import { stepsNow, tellProgress, type StepNow } from './progress.ts';
import { auditOf, firstStep, runWorkflowId, runWorkflowName, standOf } from './run-workflow.ts';
import type { StartStepsParts } from './start-steps.ts';
import { decide, needsFirst } from './rules.ts';
import { appendWorkflowEvents } from './workflow-events.ts';
import { lockWorkflow, openAgain, type WorkflowHead } from './workflow-store.ts';

/** Body of `POST …/workflows/{id}/retry`. */
export const retryBody = z.strictObject({
  from: z.string().min(1).max(63),
  /** What its owner agrees that the steps that run anew may cost, where the admin asks for that above a threshold. */
  approved_cost_micro_usd: z.number().int().min(0).optional(),
});

export interface RetryParts extends Pick<StartStepsParts, 'audit' | 'clock'> {
  readonly engine: Pick<Engine, 'enqueue'>;
  /** How many tasks may wait. */
  readonly queueMax: number;
}

/**
 * Takes a finished workflow up again from a step: it, all that waits for it, and whatever never began run anew, as
 * new tasks of the next run. All other steps keep what they made, and the tasks of earlier runs stay to be read.
 *
 * Errors  `not_found`; `conflict` while the workflow runs; `unprocessable` for a step that is unknown or that could
 *         not begin, naming what it waits for; `unavailable` or `rate_limited` where no more tasks may wait.
 */
export async function retryWorkflow(
  tx: Transaction,
  parts: RetryParts,
  workflowId: string,
  from: string,
  by: { readonly actorId: string; readonly requestId: string },
): Promise<void> {
  const workflow = await lockWorkflow(tx, workflowId);
  if (!workflow) throw notFound(`Workflow '${workflowId}'`);
  if (!workflow.outcome) throw notFinished();
  const before = await stepsNow(tx, workflowId);
  const again = runsAgain(before, from);
  mustBeAbleToStart(before, again, from, workflow);
  await mustHaveRoom(tx, parts.queueMax, { ownerId: workflow.ownerId, tasks: 1 });
  const at = parts.clock.now();
  await tellProgress(tx, workflow, before, at);
  const next = { ...workflow, run: workflow.run + 1 };
  await openAgain(tx, workflowId, next.run, again);
  await appendWorkflowEvents(tx, next, [
    { type: 'workflow.retried', at, data: { from, steps: again, by: by.actorId } },
  ]);
  await parts.audit.append(tx, {
    ...auditOf(workflow, await firstStep(tx, workflowId)),
    actor: `user:${by.actorId}`,
    action: 'workflow.retried',
    outcome: 'success',
    requestId: by.requestId,
    data: { from, run: next.run, steps: again.length, outcome_before: workflow.outcome },
  });
  await parts.engine.enqueue(tx, {
    workflow: runWorkflowName,
    id: runWorkflowId(workflowId, next.run),
    input: { workflow_id: workflowId },
  });
}

/** Ids of the steps that a retry would run anew, in their order. Throws `unprocessable` for a step that is unknown. */
export const stepsToRetry = async (tx: Transaction, workflowId: string, from: string): Promise<readonly string[]> =>
  runsAgain(await stepsNow(tx, workflowId), from);

/** Ids of the steps that run anew, in their order. */
function runsAgain(steps: readonly StepNow[], from: string): readonly string[] {
  if (!steps.some(({ step }) => step.stepId === from))
    throw unknownStep(
      from,
      steps.map(({ step }) => step.stepId),
    );
  const after = new Set([from]);
  for (const { stepId, dependsOn, onFailureOf } of needsFirst(steps.map(({ step }) => step)))
    if ([...dependsOn, ...onFailureOf].some((id) => after.has(id))) after.add(stepId);
  const neverBegan = ({ step, task }: StepNow): boolean =>
    task ? task.outcome === 'canceled' : step.canceledAt !== null || step.skippedAt !== null;
  return steps.filter((one) => after.has(one.step.stepId) || neverBegan(one)).map(({ step }) => step.stepId);
}

/** The rules themselves say whether the step would begin. */
function mustBeAbleToStart(
  steps: readonly StepNow[],
  again: readonly string[],
  from: string,
  { maxParallel }: WorkflowHead,
): void {
  const isAgain = new Set(again);
  const stands = steps.map((one) =>
    isAgain.has(one.step.stepId) ? { ...standOf(one), task: null, never: null } : standOf(one),
  );
  const { start, cancel } = decide(stands, { maxParallel: Math.max(maxParallel, steps.length), isCanceled: false });
  if (start.includes(from)) return;
  const step = steps.find((one) => one.step.stepId === from)?.step;
  throw cannotStart(from, [...(step?.dependsOn ?? []), ...(step?.onFailureOf ?? [])], cancel.includes(from));
}

const notFinished = (): ServiceError =>
  new ServiceError(
    'conflict',
    'workflow_not_finished',
    'This workflow still runs. Wait for its end, or cancel it, before you retry it.',
  );

const unknownStep = (step: string, known: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'step_unknown',
    `'${step}' is no step of this workflow. There are: ${known.slice(0, 50).join(', ')}${known.length > 50 ? ', …' : ''}.`,
  );

const cannotStart = (step: string, needed: readonly string[], isBlocked: boolean): ServiceError =>
  new ServiceError(
    'unprocessable',
    'step_cannot_start',
    isBlocked
      ? `Step '${step}' could not begin, because one of those it waits for (${needed.join(', ')}) did not succeed. Retry from that one.`
      : `Step '${step}' would not begin now: what it waits for (${needed.join(', ')}) does not call for it. Retry from one of those.`,
  );
