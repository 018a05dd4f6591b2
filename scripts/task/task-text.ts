import { visible, visibleJson } from '../approval-text.ts';
import type { ShownTask, TaskSummary } from './task-access.ts';

/** Where a task stands, in one or two words. */
const standOf = ({ state, outcome, reason }: TaskSummary): string =>
  `${outcome ?? state}${reason === null ? '' : ` (${reason})`}`;

/** One line of a list. */
export const taskLine = (task: TaskSummary): string =>
  [task.id, standOf(task).padEnd(26), `${task.agent}/${task.action}`.padEnd(24), task.workspace_name, task.submitted_at]
    .map(visible)
    .join('  ');

/** A task for a person, or as JSON. An agent wrote parts of it: they must not steer the terminal. */
export function shownTask(task: ShownTask, output: string): readonly string[] {
  if (output === 'json') return [visibleJson(task)];
  const facts: readonly (readonly [name: string, value: string | null])[] = [
    ['task', task.id],
    ['stands', standOf(task)],
    ['why', task.message],
    ['work', `${task.agent}/${task.action} in ${task.workspace_name} with ${task.model}`],
    ['branch', task.branch],
    ['commit', textAt(task['evidence'], 'commit')],
    ['attempts', `${task.attempt} of ${task.max_attempts}`],
    ...task.attempts
      .filter(({ outcome }) => outcome !== null)
      .map(
        ({ number, outcome, reason }) => [`  attempt ${number}`, [outcome, reason].filter(Boolean).join(': ')] as const,
      ),
    ['seconds', task.duration_seconds === null ? null : task.duration_seconds.toFixed(1)],
    [
      'cost',
      task.usage ? `${(task.usage.cost_micro_usd / 1_000_000).toFixed(6)} USD, ${task.usage.calls} model calls` : null,
    ],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(12)}${visible(value)}`]));
}

function textAt(value: unknown, name: string): string | null {
  const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : null;
  return typeof found === 'string' ? found : null;
}
