import type { StepOutcome, TaskState, Usage, WorkflowState } from '../../modules/contract.ts';
import type { StepTaskStand } from '../tasks/step-tasks.ts';
import type { TaskRecord } from '../tasks/task.ts';
import type { StepFacts } from './graph.ts';
import type { StepOutline, StepRecord, WorkflowHead } from './workflow-store.ts';

/** Where a step stands: as its task says, or `blocked` before there is one, or `finished` when it never begins. */
export const stepState = (step: StepOutline, task: StepTaskStand | undefined): TaskState =>
  task ? task.state : step.canceledAt || step.skippedAt ? 'finished' : 'blocked';

export const stepOutcome = (step: StepOutline, task: StepTaskStand | undefined): StepOutcome | null =>
  task ? task.outcome : step.canceledAt ? 'canceled' : step.skippedAt ? 'skipped' : null;

/** A workflow's state follows from its steps: `waiting` where nothing goes on before a person decides. */
export function workflowState(
  workflow: WorkflowHead,
  steps: readonly { readonly state: TaskState; readonly task_id: string | null }[],
): WorkflowState {
  if (workflow.outcome) return 'finished';
  if (steps.some(({ state }) => state === 'starting' || state === 'running' || state === 'stopping')) return 'running';
  const isAsking = steps.some(
    ({ state, task_id }) => state === 'waiting' || state === 'parked' || (state === 'blocked' && task_id !== null),
  );
  if (isAsking) return 'waiting';
  return steps.some(({ state }) => state === 'finished') ? 'running' : 'queued';
}

/** The text a step hands to later ones: its last message, at most 32 KiB. */
export const outputOf = (task: TaskRecord): string => (task.evidence?.last_message?.text ?? '').slice(0, 32_768);

/** What prompts of later steps may say of earlier ones. */
export const factsOf = (tasks: ReadonlyMap<string, TaskRecord>): ReadonlyMap<string, StepFacts> =>
  new Map(
    [...tasks].map(([stepId, task]) => [
      stepId,
      {
        output: outputOf(task),
        branch: task.evidence?.branch ?? task.branch,
        commit: task.evidence?.commit ?? '',
        message: task.message ?? '',
      },
    ]),
  );

/** Commits that a step starts from: those of its dependencies, or what they themselves started from. */
export function baseCommitsOf(step: StepRecord, tasks: ReadonlyMap<string, TaskRecord>): readonly string[] {
  const commits = step.dependsOn.flatMap((id) => {
    const task = tasks.get(id);
    if (!task || task.workspaceId !== step.workspace.id) return [];
    return task.evidence?.commit ? [task.evidence.commit] : task.baseCommits;
  });
  return [...new Set(commits)];
}

export const noUsage: Usage = {
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
