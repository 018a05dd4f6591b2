import type { TaskOutcome, TaskState, Usage, WorkflowOutcome, WorkflowState } from '../../modules/contract.ts';
import type { TaskRecord } from '../tasks/task.ts';
import type { StepRecord, WorkflowRecord } from './workflow-store.ts';

/** Outcomes after which dependents run. */
export const letsDependentsRun = (outcome: TaskOutcome | null): boolean =>
  outcome === 'succeeded' || outcome === 'no_change';

/** Where a step stands: as its task says, or `blocked` before there is one, or `finished` when it was canceled. */
export const stepState = (step: StepRecord, task: TaskRecord | undefined): TaskState =>
  task ? task.state : step.canceledAt ? 'finished' : 'blocked';

export const stepOutcome = (step: StepRecord, task: TaskRecord | undefined): TaskOutcome | null =>
  task ? task.outcome : step.canceledAt ? 'canceled' : null;

/** A workflow's state follows from its steps. */
export function workflowState(workflow: WorkflowRecord, tasks: ReadonlyMap<string, TaskRecord>): WorkflowState {
  if (workflow.outcome) return 'finished';
  const states = workflow.steps.map((step) => stepState(step, tasks.get(step.stepId)));
  if (states.some((state) => state === 'starting' || state === 'running' || state === 'stopping')) return 'running';
  if (states.some((state) => state === 'waiting' || state === 'parked')) return 'waiting';
  return states.some((state) => state === 'finished') ? 'running' : 'queued';
}

/** What the ended steps add up to. */
export function workflowOutcome(outcomes: readonly (TaskOutcome | null)[]): WorkflowOutcome {
  if (outcomes.every((outcome) => letsDependentsRun(outcome))) return 'succeeded';
  const failed = outcomes.some((outcome) => outcome === 'failed' || outcome === 'timed_out');
  return failed ? 'failed' : 'canceled';
}

/** The text a step hands to later ones: its last message, at most 32 KiB. */
export const outputOf = (task: TaskRecord): string => (task.evidence?.last_message?.text ?? '').slice(0, 32_768);

/** Commits that a step starts from: those of its dependencies, or what they themselves started from. */
export function baseCommitsOf(step: StepRecord, tasks: ReadonlyMap<string, TaskRecord>): readonly string[] {
  const commits = step.dependsOn.flatMap((id) => {
    const task = tasks.get(id);
    if (!task || task.workspaceId !== step.workspace.id) return [];
    return task.evidence?.commit ? [task.evidence.commit] : task.baseCommits;
  });
  return [...new Set(commits)];
}

const noUsage: Usage = {
  input_tokens: 0,
  cached_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  calls: 0,
  cost_micro_usd: 0,
};

export const addUsage = (left: Usage, right: Usage): Usage => ({
  input_tokens: left.input_tokens + right.input_tokens,
  cached_tokens: left.cached_tokens + right.cached_tokens,
  output_tokens: left.output_tokens + right.output_tokens,
  reasoning_tokens: left.reasoning_tokens + right.reasoning_tokens,
  calls: left.calls + right.calls,
  cost_micro_usd: left.cost_micro_usd + right.cost_micro_usd,
});

/** A workflow as callers see it: state, each step's own, and the sum. */
export function presentWorkflow(workflow: WorkflowRecord, tasks: ReadonlyMap<string, TaskRecord>) {
  const steps = workflow.steps.map((step) => presentStep(step, tasks.get(step.stepId)));
  return {
    id: workflow.id,
    name: workflow.name,
    status: workflowState(workflow, tasks),
    state: workflowState(workflow, tasks),
    outcome: workflow.outcome,
    owner_id: workflow.ownerId,
    owner_name: workflow.ownerName,
    max_parallel: workflow.maxParallel,
    created_at: workflow.createdAt.toISOString(),
    finished_at: workflow.finishedAt?.toISOString() ?? null,
    steps,
    usage: steps.reduce((sum, step) => addUsage(sum, step.usage ?? noUsage), noUsage),
  };
}

/** A workflow in a list: without the outputs of its steps. */
export function summarizeWorkflow(workflow: WorkflowRecord, tasks: ReadonlyMap<string, TaskRecord>) {
  const { steps, ...rest } = presentWorkflow(workflow, tasks);
  return { ...rest, steps: steps.map(({ output: _output, changed_files: _files, ...step }) => step) };
}

const presentStep = (step: StepRecord, task: TaskRecord | undefined) => ({
  id: step.stepId,
  agent: step.work.agent,
  task: step.work.action,
  depends_on: step.dependsOn,
  workspace_id: step.workspace.id,
  task_id: task?.id ?? null,
  state: stepState(step, task),
  outcome: stepOutcome(step, task),
  reason: task?.reason ?? null,
  message: task?.message ?? (step.canceledAt ? 'A step it depends on did not succeed.' : null),
  attempts: task?.attempt ?? 0,
  started_at: task?.startedAt?.toISOString() ?? null,
  finished_at: task?.finishedAt?.toISOString() ?? step.canceledAt?.toISOString() ?? null,
  branch: task?.branch ?? null,
  commit: task?.evidence?.commit ?? null,
  changed_files: task?.evidence?.changed_files ?? [],
  verify: task?.evidence?.verify
    ? { exit: task.evidence.verify.exit, timed_out: task.evidence.verify.timed_out }
    : null,
  output: task ? outputOf(task) : null,
  usage: task?.usage ?? null,
});
