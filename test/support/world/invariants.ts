import { tasksOfWorkflow } from '../../../service/tasks/step-tasks.ts';
import { readAttempt } from '../../../service/tasks/task-store.ts';
import { activeStates, type TaskRecord } from '../../../service/tasks/task.ts';
import { readWorkflow } from '../../../service/workflows/workflow-store.ts';
import { stepOutcome } from '../../../service/workflows/workflow.ts';
import { modelMayBegin, modelOutcomes, modelSum } from '../workflow-model.ts';
import type { Life } from './world.ts';

function must(isSo: boolean, words: string): void {
  if (!isSo) throw new Error(words);
}

/** How the steps of a life stand. */
export interface Stand {
  readonly tasks: ReadonlyMap<string, TaskRecord>;
  readonly outcomes: ReadonlyMap<string, string>;
  readonly outcome: string | null;
}

export async function standOf({ room, workflowId }: Life): Promise<Stand> {
  const { database } = room.data;
  const workflow = await readWorkflow(database, workflowId);
  const list = await tasksOfWorkflow(database, workflowId);
  const tasks = new Map(list.map((task) => [task.stepId ?? '', task]));
  must(tasks.size === list.length, 'a step has two tasks');
  const outcomes = new Map(
    (workflow?.steps ?? []).flatMap((step) => {
      const outcome = tasks.get(step.stepId)?.outcome ?? stepOutcome(step, undefined);
      return outcome === null ? [] : [[step.stepId, outcome] as const];
    }),
  );
  return { tasks, outcomes, outcome: workflow?.outcome ?? null };
}

/** What holds at every moment. */
export function checkNow(life: Life, { tasks, outcomes }: Stand): void {
  for (const step of life.steps) {
    const task = tasks.get(step.id);
    if (!task) continue;
    must(modelMayBegin(step, outcomes), `${step.id} has begun although it may not`);
    const most = step.maxAttempts * (step.hasFallback ? 2 : 1);
    must(task.attempt <= most, `${step.id} has made ${task.attempt} attempts of ${most}`);
  }
  const atWork = [...life.bridge.held.values()].map(({ lease }) => lease.task_id);
  must(new Set(atWork).size === atWork.length, 'a workspace works at one task twice');
}

/** What holds when nothing is left to do: nothing lost, nothing stuck, nothing done twice. */
export async function checkEnd(life: Life): Promise<void> {
  const { steps, bridge } = life;
  const { tasks, outcomes, outcome } = await standOf(life);
  must(outcome !== null, 'nothing is left to do, and the workflow is not over');
  must(outcomes.size === steps.length, 'a step has no outcome');
  for (const task of tasks.values()) must(!activeStates.includes(task.state), `${task.stepId} is still ${task.state}`);
  for (const [key, said] of bridge.accepted) {
    const [taskId = '', number = ''] = key.split(':');
    const attempt = await readAttempt(life.room.data.database, taskId, Number(number));
    must(attempt?.state === 'settled', `the result of ${key} was taken and never settled`);
    must(
      JSON.stringify(sorted(attempt?.evidence)) === JSON.stringify(sorted(said)),
      `the result of ${key} is another one`,
    );
  }
  if (life.isCanceled()) return must(['canceled', 'failed', 'succeeded'].includes(outcome ?? ''), `it is ${outcome}`);
  const model = modelOutcomes(steps, ({ id }) => tasks.get(id)?.outcome ?? 'never');
  must(
    JSON.stringify([...model]) === JSON.stringify(steps.map(({ id }) => [id, outcomes.get(id)])),
    `the steps ended as ${JSON.stringify([...outcomes])} and not as ${JSON.stringify([...model])}`,
  );
  must(outcome === modelSum([...model.values()]), `the workflow is ${outcome}`);
}

const sorted = (value: unknown): unknown =>
  typeof value !== 'object' || value === null
    ? value
    : Array.isArray(value)
      ? value.map(sorted)
      : Object.fromEntries(
          Object.entries(value)
            .sort(([one], [other]) => (one < other ? -1 : 1))
            .map(([key, inner]) => [key, sorted(inner)]),
        );
