import type { Transaction } from '../platform/database.ts';
import type { DurableContext, Engine } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import { inSpan } from '../platform/tracing.ts';
import type { FinishedHook, Wake } from '../tasks/settle.ts';
import { lockTask } from '../tasks/task-store.ts';
import { stepsNow, tellProgress, type StepNow } from './progress.ts';
import { decide, type StepStand } from './rules.ts';
import { startSteps, type StartStepsParts } from './start-steps.ts';
import { stopSteps, type StopStepsParts } from './stop-steps.ts';
import { appendWorkflowEvents } from './workflow-events.ts';
import {
  finishWorkflow,
  lockWorkflow,
  markCanceled,
  markNever,
  readHead,
  readSteps,
  type StepRecord,
  type WorkflowHead,
} from './workflow-store.ts';

export const runWorkflowName = 'workflow';
/** Name of the loop that drives a run; the first one's is that of a version that knew only one. */
export const runWorkflowId = (workflowId: string, run: number): string =>
  run === 1 ? `workflow:${workflowId}` : `workflow:${workflowId}:${run}`;
/** Topic on which a workflow's loop is told to look at its rows again. */
export const lookTopic = 'look';

export interface RunParts extends StopStepsParts, StartStepsParts {
  readonly log: Logger;
  readonly admit: () => Promise<unknown>;
}

/** A step's end wakes the loop; this is only how long a lost wake-up may cost. */
const lookAnywayMs = 30_000;
const brokenTurnMs = 5_000;
/** A task that is being stopped may still begin one more attempt, which nobody announces. */
const cancelingTurnMs = 2_000;

/**
 * The one loop that drives a run of a workflow: look at the rows, start what is ready, wait to be woken.
 *
 * Safety  it holds no state and its only effect is one transaction per turn, so a replay, a second wake-up or a
 *         crash between turns changes nothing. A step becomes exactly one task per run (unique in the database).
 */
export function registerRunWorkflow(engine: Engine, parts: RunParts): void {
  engine.register<{ workflow_id: string }>(runWorkflowName, async (context: DurableContext, { workflow_id: id }) => {
    for (let turn = 1; ; turn += 1) {
      const next = await context.step(`turn-${turn}`, () => takeTurnOrWait(parts, id));
      if (next.done) return;
      await context.receive(lookTopic, next.waitMs);
    }
  });
}

/** Subscribed to finished tasks: wakes the workflow a task belongs to. */
export const wakeWorkflow: FinishedHook = async (tx, task) => {
  const workflow = task.workflowId === null ? null : await readHead(tx, task.workflowId);
  return workflow ? [wakeOf(workflow)] : [];
};

const wakeOf = ({ id, run }: WorkflowHead): Wake => ({ workflowId: runWorkflowId(id, run), topic: lookTopic });

/**
 * Subscribed to finished tasks: cancels the workflow that a task of `agentzero` ran, where that goes on without it,
 * because the process that followed it is gone or broke. Its own loop stops the steps.
 */
export const makeEndNested =
  (parts: Pick<StartStepsParts, 'audit' | 'clock'>): FinishedHook =>
  async (tx, task) => {
    const workflow = task.agent === 'agentzero' ? await lockWorkflow(tx, task.id) : null;
    if (!workflow || workflow.outcome || workflow.cancelRequestedAt) return [];
    const at = parts.clock.now();
    await markCanceled(tx, workflow.id, workflow.ownerId, at);
    await appendWorkflowEvents(tx, workflow, [
      { type: 'workflow.cancel_requested', at, data: { by: workflow.ownerId } },
    ]);
    const about = auditOf(workflow, await firstStep(tx, workflow.id));
    await parts.audit.append(tx, { ...about, action: 'workflow.cancel_requested', outcome: 'success' });
    return [wakeOf(workflow)];
  };

interface Turn {
  readonly done: boolean;
  readonly waitMs: number;
}

async function takeTurnOrWait(parts: RunParts, id: string): Promise<Turn> {
  try {
    return await takeTurn(parts, id);
  } catch (error) {
    parts.log.error({ error, workflowId: id }, 'a turn of a workflow failed');
    return { done: false, waitMs: brokenTurnMs };
  }
}

/** One look at a workflow and what follows from it. Also taken for a workflow whose loop is lost. */
export async function takeTurn(parts: RunParts, id: string): Promise<Turn> {
  const done = await parts.database.transaction((tx) => advance(tx, parts, id));
  const workflow = done ? null : await readHead(parts.database, id);
  const isCanceling = workflow !== null && workflow.cancelRequestedAt !== null;
  if (isCanceling) await stopSteps(parts, workflow);
  await parts.admit();
  return { done, waitMs: isCanceling ? cancelingTurnMs : lookAnywayMs };
}

/** Does what the rules say of a workflow now. True when nothing is left to do. */
export async function advance(tx: Transaction, parts: StartStepsParts, id: string): Promise<boolean> {
  const workflow = await lockWorkflow(tx, id);
  if (!workflow || workflow.outcome) return true;
  const { traceParent: parent, run } = workflow;
  return inSpan('orchestrator', { parent, attributes: { 'workflow.id': id, run } }, () =>
    takeStock(tx, parts, workflow),
  );
}

async function takeStock(tx: Transaction, parts: StartStepsParts, workflow: WorkflowHead): Promise<boolean> {
  const { id } = workflow;
  const steps = await withoutExpired(tx, parts, await stepsNow(tx, id), id);
  await tellProgress(tx, workflow, steps, parts.clock.now());
  const decision = decide(steps.map(standOf), {
    maxParallel: workflow.maxParallel,
    isCanceled: workflow.cancelRequestedAt !== null,
  });
  await giveUp(tx, parts, workflow, decision.cancel, 'canceled');
  await giveUp(tx, parts, workflow, decision.skip, 'skipped');
  await startSteps(tx, parts, workflow, steps, decision.start);
  if (decision.outcome) await end(tx, parts, workflow, decision.outcome, steps.length);
  return decision.outcome !== null;
}

export const standOf = ({ step, task }: StepNow): StepStand => ({
  stepId: step.stepId,
  dependsOn: step.dependsOn,
  onFailureOf: step.onFailureOf,
  task,
  never: step.canceledAt ? 'canceled' : step.skippedAt ? 'skipped' : null,
});

/** A step nobody decided about in time counts as refused; its task has no attempt that could look at the clock. */
async function withoutExpired(
  tx: Transaction,
  parts: StartStepsParts,
  steps: readonly StepNow[],
  id: string,
): Promise<readonly StepNow[]> {
  const held = steps.flatMap(({ task }) => (task?.state === 'blocked' ? [task.id] : []));
  for (const taskId of held) {
    // Whoever decides holds the task first, too.
    await lockTask(tx, taskId);
    await parts.approvals.expireDue(tx, taskId);
  }
  return held.length > 0 ? stepsNow(tx, id) : steps;
}

/** Writes of steps that they never begin. */
async function giveUp(
  tx: Transaction,
  parts: StartStepsParts,
  workflow: WorkflowHead,
  stepIds: readonly string[],
  word: 'canceled' | 'skipped',
): Promise<void> {
  if (stepIds.length === 0) return;
  const at = parts.clock.now();
  await markNever(tx, workflow.id, stepIds, `${word}_at`, at);
  await appendWorkflowEvents(
    tx,
    workflow,
    stepIds.map((stepId) => ({ type: `step.${word}` as const, at, stepId })),
  );
  for (const step of await readSteps(tx, workflow.id, stepIds))
    await parts.audit.append(tx, {
      ...auditOf(workflow, step),
      action: `workflow_step.${word}`,
      outcome: word === 'skipped' ? 'success' : 'failure',
      data: { step_id: step.stepId },
    });
}

async function end(
  tx: Transaction,
  parts: StartStepsParts,
  workflow: WorkflowHead,
  outcome: NonNullable<WorkflowHead['outcome']>,
  steps: number,
): Promise<void> {
  const at = parts.clock.now();
  await finishWorkflow(tx, workflow.id, outcome, at);
  await appendWorkflowEvents(tx, workflow, [{ type: 'workflow.finished', at, data: { outcome } }]);
  await parts.audit.append(tx, {
    ...auditOf(workflow, await firstStep(tx, workflow.id)),
    action: 'workflow.finished',
    outcome: outcome === 'succeeded' ? 'success' : 'failure',
    data: { outcome, steps, run: workflow.run },
  });
}

/** What every audit event of a workflow says; a workflow counts to where its first step works. */
export const auditOf = (workflow: WorkflowHead, step: StepRecord | undefined) => ({
  actor: 'service',
  target: { type: 'workflow', id: workflow.id },
  ownerId: workflow.ownerId,
  organizationId: step?.workspace.organizationId ?? null,
  workspaceId: step?.workspace.id ?? null,
  requestId: workflow.requestId,
});

export const firstStep = async (tx: Transaction, workflowId: string): Promise<StepRecord | undefined> => {
  const [first] = await readSteps(tx, workflowId, undefined, 1);
  return first;
};
