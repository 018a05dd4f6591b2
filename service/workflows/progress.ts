import type { Transaction } from '../platform/database.ts';
import { standsOfWorkflow, type StepTaskStand } from '../tasks/step-tasks.ts';
import { appendWorkflowEvents, rememberTold, type NewWorkflowEvent } from './workflow-events.ts';
import { outlineSteps, type StepOutline, type Told, type WorkflowHead } from './workflow-store.ts';

/** A step and the task of its present run. */
export interface StepNow {
  readonly step: StepOutline;
  readonly task: StepTaskStand | null;
}

/** All steps of a workflow as they stand now, in their order. */
export async function stepsNow(tx: Transaction, workflowId: string): Promise<readonly StepNow[]> {
  const key = (stepId: string, run: number): string => `${run}:${stepId}`;
  const tasks = new Map((await standsOfWorkflow(tx, workflowId)).map((one) => [key(one.stepId, one.stepRun), one]));
  const steps = await outlineSteps(tx, workflowId);
  return steps.map((step) => ({ step, task: tasks.get(key(step.stepId, step.run)) ?? null }));
}

/** Tells watchers what changed since they were told last. Called again it has nothing to say. */
export async function tellProgress(
  tx: Transaction,
  workflow: WorkflowHead,
  steps: readonly StepNow[],
  now: Date,
): Promise<void> {
  const told = new Map<string, Told>();
  const news: NewWorkflowEvent[] = [];
  for (const { step, task } of steps) {
    if (!task) continue;
    const word = wordOf(task);
    if (word === step.told) continue;
    told.set(step.stepId, word);
    news.push(...newsOf(step, task, word, now));
  }
  news.sort((left, right) => left.at.getTime() - right.at.getTime());
  await appendWorkflowEvents(tx, workflow, news);
  await rememberTold(tx, workflow.id, told);
}

function wordOf({ state, startedAt }: StepTaskStand): Told {
  if (state === 'finished') return 'finished';
  if (state === 'waiting' || state === 'parked' || state === 'blocked') return 'waiting';
  return startedAt ? 'started' : 'queued';
}

/** What lies between what was told and what is: whoever began and ended between two looks is told of both. */
function newsOf({ stepId, told }: StepOutline, task: StepTaskStand, word: Told, now: Date): NewWorkflowEvent[] {
  const data = { task_id: task.id };
  const news: NewWorkflowEvent[] = [];
  if (told === null) news.push({ type: 'step.queued', at: task.submittedAt, stepId, data });
  if (task.startedAt && (told === null || told === 'queued'))
    news.push({ type: 'step.started', at: task.startedAt, stepId, data });
  else if (word !== 'finished' && word !== 'waiting' && told === 'waiting')
    news.push({ type: 'step.resumed', at: now, stepId, data });
  if (word === 'waiting') news.push({ type: 'step.waiting', at: now, stepId, data: { ...data, reason: task.reason } });
  if (word === 'finished')
    news.push({
      type: 'step.finished',
      at: task.finishedAt ?? now,
      stepId,
      data: { ...data, outcome: task.outcome, reason: task.reason },
    });
  return news;
}
