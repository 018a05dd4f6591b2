import Table from 'cli-table3';
import type { WorkflowAnswer } from './watch.ts';

const seconds = (from: string | null, to: string | null): string =>
  from !== null && to !== null ? ((Date.parse(to) - Date.parse(from)) / 1_000).toFixed(1) : '–';

/** The table at the end: one row a step. */
export function workflowTable(workflow: WorkflowAnswer): string {
  const table = new Table({
    head: ['step', 'outcome', 'attempts', 'files', 'tokens', 'cost (USD)', 'seconds'],
    style: { head: [], border: [] },
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const step of workflow.steps) {
    const { usage } = step;
    const tokens = usage ? usage.input_tokens + usage.cached_tokens + usage.output_tokens + usage.reasoning_tokens : 0;
    table.push([
      step.id,
      step.outcome ?? step.state,
      step.attempts,
      step.changed_files.length,
      tokens,
      ((usage?.cost_micro_usd ?? 0) / 1_000_000).toFixed(6),
      seconds(step.started_at, step.finished_at),
    ]);
  }
  return table.toString();
}

/** What did not go as it should; empty when all is well. */
export function faultsOf(workflow: WorkflowAnswer): readonly string[] {
  const faults = workflow.steps.flatMap((step) => [
    ...(step.outcome === 'succeeded' ? [] : [`step ${step.id}: ${step.outcome ?? step.state} ${step.message ?? ''}`]),
    ...(step.commit === null ? [`step ${step.id}: no commit`] : []),
    ...(step.attempts === 1 ? [] : [`step ${step.id}: ${step.attempts} attempts`]),
  ]);
  if (workflow.outcome !== 'succeeded') faults.unshift(`the workflow: ${workflow.outcome ?? workflow.state}`);
  return faults;
}
