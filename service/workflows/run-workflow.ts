import { limits } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { DurableContext, Engine } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import type { FinishedHook } from '../tasks/settle.ts';
import { submitTask } from '../tasks/submit-task.ts';
import { tasksOfWorkflow } from '../tasks/task-store.ts';
import { activeStates, branchFor, type TaskRecord } from '../tasks/task.ts';
import { fillOutputs } from './graph.ts';
import { cancelStep, finishWorkflow, readWorkflow, type StepRecord, type WorkflowRecord } from './workflow-store.ts';
import { baseCommitsOf, letsDependentsRun, outputOf, stepOutcome, workflowOutcome } from './workflow.ts';

export const runWorkflowName = 'workflow';
export const runWorkflowId = (workflowId: string): string => `workflow:${workflowId}`;
const lookTopic = 'look';

export interface RunParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly admit: () => Promise<unknown>;
}

/** A step's end wakes the loop; this is only how long a lost wake-up may cost. */
const lookAnywayMs = 30_000;
const brokenTurnMs = 5_000;

/**
 * The one loop that drives a workflow: look at the rows, start what is ready, wait to be woken.
 *
 * Safety  it holds no state and its only effect is one transaction per turn, so a replay, a second wake-up or a
 *         crash between turns changes nothing. A step becomes exactly one task (unique per workflow and step).
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
export const wakeWorkflow: FinishedHook = (_tx, task) =>
  Promise.resolve(task.workflowId === null ? [] : [{ workflowId: runWorkflowId(task.workflowId), topic: lookTopic }]);

interface Turn {
  readonly done: boolean;
  readonly waitMs: number;
}

async function takeTurnOrWait(parts: RunParts, id: string): Promise<Turn> {
  try {
    const done = await parts.database.transaction((tx) => advance(tx, parts, id));
    await parts.admit();
    return { done, waitMs: lookAnywayMs };
  } catch (error) {
    parts.log.error({ error, workflowId: id }, 'a turn of a workflow failed');
    return { done: false, waitMs: brokenTurnMs };
  }
}

/** Starts every ready step and cancels those that can no longer start. True when nothing is left to do. */
export async function advance(tx: Transaction, parts: RunParts, id: string): Promise<boolean> {
  const workflow = await readWorkflow(tx, id, true);
  if (!workflow || workflow.outcome) return true;
  const tasks = await tasksOfWorkflow(tx, id);
  const steps = await cancelUnreachable(tx, parts, workflow, tasks);
  const outcomes = steps.map((step) => stepOutcome(step, tasks.get(step.stepId)));
  if (outcomes.every((outcome) => outcome !== null)) {
    await end(tx, parts, workflow, workflowOutcome(outcomes));
    return true;
  }
  let places = workflow.maxParallel - [...tasks.values()].filter(isUnderWay).length;
  for (const step of steps) {
    if (places <= 0) break;
    if (step.canceledAt || tasks.has(step.stepId)) continue;
    if (!step.dependsOn.every((needed) => letsDependentsRun(tasks.get(needed)?.outcome ?? null))) continue;
    await startStep(tx, parts, workflow, step, tasks);
    places -= 1;
  }
  return false;
}

const isUnderWay = (task: TaskRecord): boolean => task.state === 'queued' || activeStates.includes(task.state);

/** Marks steps whose dependency ended badly, and whatever depends on those. Steps come back as they are then. */
async function cancelUnreachable(
  tx: Transaction,
  parts: RunParts,
  workflow: WorkflowRecord,
  tasks: ReadonlyMap<string, TaskRecord>,
): Promise<readonly StepRecord[]> {
  const now = parts.clock.now();
  const steps = new Map(workflow.steps.map((step) => [step.stepId, step]));
  for (let changed = true; changed;) {
    changed = false;
    for (const step of steps.values()) {
      if (step.canceledAt || tasks.has(step.stepId)) continue;
      const blocked = step.dependsOn.some((id) => {
        const needed = steps.get(id);
        const outcome = needed ? stepOutcome(needed, tasks.get(id)) : null;
        return outcome !== null && !letsDependentsRun(outcome);
      });
      if (!blocked) continue;
      await cancelStep(tx, workflow.id, step.stepId, now);
      await parts.audit.append(tx, {
        actor: 'service',
        action: 'workflow_step.canceled',
        target: { type: 'workflow', id: workflow.id },
        outcome: 'failure',
        ownerId: workflow.ownerId,
        organizationId: step.workspace.organizationId,
        workspaceId: step.workspace.id,
        requestId: workflow.requestId,
        data: { step_id: step.stepId },
      });
      steps.set(step.stepId, { ...step, canceledAt: now });
      changed = true;
    }
  }
  return [...steps.values()];
}

async function startStep(
  tx: Transaction,
  parts: RunParts,
  workflow: WorkflowRecord,
  step: StepRecord,
  tasks: ReadonlyMap<string, TaskRecord>,
): Promise<void> {
  const outputs = new Map([...tasks].map(([id, task]) => [id, outputOf(task)]));
  await submitTask(tx, parts, {
    work: { ...step.work, prompt: fillOutputs(step.work.prompt, outputs, limits.promptBytes) },
    submitter: { id: workflow.ownerId, name: workflow.ownerName, commitIdentity: workflow.commitIdentity },
    workspace: step.workspace,
    requestId: workflow.requestId,
    step: {
      workflowId: workflow.id,
      stepId: step.stepId,
      branch: branchFor(`${workflow.name.slice(0, 40)}-${workflow.id.slice(-8)}`, step.stepId),
    },
    baseCommits: baseCommitsOf(step, tasks),
  });
}

async function end(
  tx: Transaction,
  parts: RunParts,
  workflow: WorkflowRecord,
  outcome: NonNullable<WorkflowRecord['outcome']>,
): Promise<void> {
  await finishWorkflow(tx, workflow.id, outcome, parts.clock.now());
  await parts.audit.append(tx, {
    actor: 'service',
    action: 'workflow.finished',
    target: { type: 'workflow', id: workflow.id },
    outcome: outcome === 'succeeded' ? 'success' : 'failure',
    ownerId: workflow.ownerId,
    organizationId: workflow.steps[0]?.workspace.organizationId ?? null,
    workspaceId: workflow.steps[0]?.workspace.id ?? null,
    requestId: workflow.requestId,
    data: { outcome, steps: workflow.steps.length },
  });
}
