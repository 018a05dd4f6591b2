import type { StepTaskSummary } from '../tasks/step-tasks.ts';
import type { TaskRecord } from '../tasks/task.ts';
import { addUsage, noUsage, outputOf, stepOutcome, stepState, workflowState } from './workflow.ts';
import type { StepSummary, WorkflowHead, WorkflowRecord } from './workflow-store.ts';

/** A workflow in a list: without what its steps made. `tasks` are those of all runs. */
export function summarizeWorkflow(
  workflow: WorkflowHead,
  steps: readonly StepSummary[],
  tasks: readonly StepTaskSummary[],
) {
  const byStep = new Map<string, StepTaskSummary[]>();
  for (const task of tasks) byStep.set(task.stepId, [...(byStep.get(task.stepId) ?? []), task]);
  const shown = steps.map((step) => presentStep(workflow, step, byStep.get(step.stepId) ?? []));
  const state = workflowState(workflow, shown);
  return {
    id: workflow.id,
    name: workflow.name,
    status: state,
    state,
    outcome: workflow.outcome,
    owner_id: workflow.ownerId,
    owner_name: workflow.ownerName,
    max_parallel: workflow.maxParallel,
    run: workflow.run,
    cancel_requested_at: workflow.cancelRequestedAt?.toISOString() ?? null,
    created_at: workflow.createdAt.toISOString(),
    finished_at: workflow.finishedAt?.toISOString() ?? null,
    steps: shown,
    usage: tasks.reduce((sum, task) => addUsage(sum, task.usage ?? noUsage), noUsage),
  };
}

/** A workflow as callers see it: state, each step with what it made, the sum, and once it ended its result. */
export function presentWorkflow(workflow: WorkflowRecord, tasks: readonly TaskRecord[]) {
  const steps = workflow.steps.map((step) => ({
    ...step,
    agent: step.work.agent,
    action: step.work.action,
    workspaceId: step.workspace.id,
  }));
  const summary = summarizeWorkflow(workflow, steps, tasks.map(summaryOf));
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const whole = summary.steps.map((step) => {
    const task = byId.get(step.task_id ?? '');
    return {
      ...step,
      changed_files: task?.evidence?.changed_files ?? [],
      output: task ? outputOf(task) : null,
    };
  });
  return { ...summary, steps: whole, result: workflow.outcome ? resultOf(summary, byId) : null };
}

/**
 * What a finished workflow came to: outcome, the output and the evidence of each step by its id, and what it cost
 * with all its runs. Computed from rows that change no more until somebody retries it.
 */
function resultOf(summary: ReturnType<typeof summarizeWorkflow>, tasks: ReadonlyMap<string, TaskRecord>) {
  const taskOf = (id: string | null): TaskRecord | undefined => tasks.get(id ?? '');
  const perStep = <Value>(value: (step: (typeof summary.steps)[number]) => Value) =>
    Object.fromEntries(summary.steps.map((step) => [step.id, value(step)]));
  const { outcome, usage, created_at, finished_at } = summary;
  return {
    outcome,
    run: summary.run,
    outputs: perStep((step) => {
      const task = taskOf(step.task_id);
      return task ? outputOf(task) : null;
    }),
    evidence: perStep((step) => ({
      outcome: step.outcome,
      reason: step.reason,
      message: step.message,
      task_id: step.task_id,
      ...evidenceOf(taskOf(step.task_id)),
    })),
    cost_micro_usd: usage.cost_micro_usd,
    usage,
    usage_by_step: perStep((step) => step.usage),
    duration_seconds: finished_at ? (Date.parse(finished_at) - Date.parse(created_at)) / 1_000 : null,
  };
}

/** Evidence without the text of the last message, which is the step's output. */
function evidenceOf(task: TaskRecord | undefined) {
  if (!task?.evidence) return {};
  const { last_message: last, ...evidence } = task.evidence;
  return { ...evidence, last_message: last ? { finish: last.finish, error: last.error } : null };
}

const summaryOf = (task: TaskRecord): StepTaskSummary => ({
  ...task,
  stepId: task.stepId ?? '',
  commit: task.evidence?.commit ?? null,
  verify: task.evidence?.verify ? { exit: task.evidence.verify.exit, timed_out: task.evidence.verify.timed_out } : null,
});

function presentStep(workflow: WorkflowHead, step: StepSummary, tasks: readonly StepTaskSummary[]) {
  const task = tasks.find((one) => one.stepRun === step.run);
  return {
    id: step.stepId,
    agent: step.agent,
    task: step.action,
    depends_on: step.dependsOn,
    on_failure_of: step.onFailureOf,
    approval: step.needsApproval,
    workspace_id: step.workspaceId,
    run: step.run,
    task_id: task?.id ?? null,
    state: stepState(step, task),
    outcome: stepOutcome(step, task),
    reason: task?.reason ?? null,
    message: task ? task.message : whyNever(workflow, step),
    attempts: task?.attempt ?? 0,
    started_at: task?.startedAt?.toISOString() ?? null,
    finished_at: (task ? task.finishedAt : (step.canceledAt ?? step.skippedAt))?.toISOString() ?? null,
    branch: task?.branch ?? null,
    commit: task?.commit ?? null,
    verify: task?.verify ?? null,
    usage: task?.usage ?? null,
    /** Tasks of earlier runs, the first one first. */
    earlier: tasks
      .filter((one) => one.stepRun !== step.run)
      .sort((left, right) => left.stepRun - right.stepRun)
      .map((one) => ({ run: one.stepRun, task_id: one.id, outcome: one.outcome, reason: one.reason })),
  };
}

/** Why a step without a task never began. */
function whyNever(workflow: WorkflowHead, step: StepSummary): string | null {
  if (step.skippedAt) return 'Nothing failed that it would have made good.';
  if (!step.canceledAt) return null;
  return workflow.cancelRequestedAt ? 'The workflow was canceled.' : 'A step it depends on did not succeed.';
}
