import { z } from 'zod';
import { workflowOutcomes, type Reason, type TaskOutcome } from '../modules/contract.ts';
import { exitCodeOf } from '../service/tasks/words.ts';
import { visible } from './approval-text.ts';
import type { ExitCode } from './command-failure.ts';

const step = z.looseObject({
  id: z.string(),
  agent: z.string(),
  task: z.string(),
  state: z.string(),
  outcome: z.string().nullable(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  branch: z.string().nullable(),
});

/** A workflow as the service answers it, as far as a command shows it. */
export const workflowAnswer = z.looseObject({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  outcome: z.enum(workflowOutcomes).nullable(),
  created_at: z.string(),
  steps: z.array(step),
});
export type WorkflowAnswer = z.output<typeof workflowAnswer>;
type StepAnswer = WorkflowAnswer['steps'][number];

export const workflowLine = (
  workflow: Pick<WorkflowAnswer, 'id' | 'name' | 'state' | 'outcome' | 'created_at'>,
): string =>
  `${workflow.id}  ${(workflow.outcome ?? workflow.state).padEnd(9)}  ${workflow.created_at}  ${visible(workflow.name)}`;

/** How one step stands, on one line: agents wrote its message. */
export function stepLine({ id, state, outcome, reason, message, branch }: StepAnswer): string {
  const why = [reason, message]
    .filter((part) => part !== null)
    .map(visible)
    .join(': ');
  const rest = outcome === 'succeeded' ? (branch === null ? '' : `on ${visible(branch)}`) : why;
  return `${id.padEnd(20)}  ${(outcome ?? state).padEnd(9)}  ${rest}`.trimEnd();
}

/** A whole workflow for people. */
export const workflowLines = (workflow: WorkflowAnswer): readonly string[] => [
  workflowLine(workflow),
  ...workflow.steps.map((one) => `  ${stepLine(one)}`),
];

/** What a program exits with that waited for a workflow: that of the first step which ended badly by itself. */
export function exitCodeOfWorkflow({ outcome, steps }: Pick<WorkflowAnswer, 'outcome' | 'steps'>): ExitCode | 0 {
  if (outcome === 'succeeded') return 0;
  if (outcome === 'canceled') return 143;
  const own = steps.filter((one) => one.outcome === 'failed' || one.outcome === 'timed_out');
  return codeOf(own[0]) ?? 1;
}

const codeOf = (one: Pick<StepAnswer, 'outcome' | 'reason'> | undefined) =>
  one && (exitCodeOf({ outcome: one.outcome as TaskOutcome, reason: one.reason as Reason | null }) as ExitCode | null);
