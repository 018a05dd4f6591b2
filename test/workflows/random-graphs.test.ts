import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { settleAttempt } from '../../service/tasks/settle.ts';
import { stopTask } from '../../service/tasks/stop-task.ts';
import { tasksOfWorkflow } from '../../service/tasks/step-tasks.ts';
import { lockTask } from '../../service/tasks/task-store.ts';
import { activeStates, failedEvidence, type TaskRecord } from '../../service/tasks/task.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { cancelWorkflow } from '../../service/workflows/cancel-workflow.ts';
import { retryWorkflow } from '../../service/workflows/retry-workflow.ts';
import { advance } from '../../service/workflows/run-workflow.ts';
import { startWorkflow } from '../../service/workflows/submit-workflow.ts';
import { readWorkflow, type NewStep } from '../../service/workflows/workflow-store.ts';
import { stepOutcome } from '../../service/workflows/workflow.ts';
import { goodEvidence } from '../support/fake-bridge.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';
import {
  modelMayBegin,
  modelOutcomes,
  modelSum,
  modelTask,
  type AttemptEnd,
  type ModelStep,
} from '../support/workflow-model.ts';

/** How many random workflows are run; `WORKFLOW_CASES=2000` for a long look, `WORKFLOW_SEED` repeats one. */
const cases = Number(process.env['WORKFLOW_CASES'] ?? 25);
const seed = process.env['WORKFLOW_SEED'];

let room: TasksRoom;
beforeAll(async () => {
  room = await makeTasksRoom({ perWorkspace: 4 });
});
afterAll(async () => {
  await room.close();
});

const evidenceOf: Readonly<Record<AttemptEnd, () => ReturnType<typeof goodEvidence>>> = {
  ok: () => goodEvidence(),
  same: () => goodEvidence({ commit: null, changed_files: [], diff: { files: 0, additions: 0, deletions: 0 } }),
  busy: () =>
    goodEvidence({
      last_message: { finish: null, error: { name: 'APIError', message: 'no', status_code: 503 }, text: '' },
    }),
  cut: () => goodEvidence({ last_message: { finish: 'length', error: null, text: '' } }),
  lost: () => failedEvidence({ reason: 'ContextError', message: 'no repository', retryable: false }),
};
const stopped = () =>
  goodEvidence({
    stop: { stopped_at: new Date().toISOString(), method: 'abort', processes_left: 0, tokens_after_stop: 0 },
  });

interface Plan {
  readonly steps: readonly ModelStep[];
  readonly maxParallel: number;
  /** After how many moves somebody cancels; null: nobody does. */
  readonly cancelAfter: number | null;
  /** Choices between what may happen next; the rest is 0. */
  readonly choices: readonly number[];
}

const ends = fc.constantFrom<AttemptEnd>('ok', 'ok', 'ok', 'same', 'busy', 'busy', 'cut', 'lost');

const plans: fc.Arbitrary<Plan> = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat({ max: 6 }), { maxLength: 3 }),
      mends: fc.oneof(
        { arbitrary: fc.constant<number[]>([]), weight: 4 },
        { arbitrary: fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 2 }), weight: 1 },
      ),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
      hasFallback: fc.boolean(),
      attempts: fc.array(ends, { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 7 },
  )
  .chain((drafts) =>
    fc.record({
      steps: fc.constant(drafts.map((draft, index) => stepOf(draft, index))),
      maxParallel: fc.integer({ min: 1, max: 4 }),
      cancelAfter: fc.option(fc.nat({ max: 25 }), { nil: null, freq: 3 }),
      choices: fc.array(fc.nat({ max: 99 }), { maxLength: 80 }),
    }),
  );

/** A step only ever waits for steps before it, so there is no cycle. */
function stepOf(
  draft: { needs: number[]; mends: number[]; maxAttempts: number; hasFallback: boolean; attempts: AttemptEnd[] },
  index: number,
): ModelStep {
  const before = (numbers: number[]): string[] =>
    index === 0 ? [] : [...new Set(numbers.map((number) => `s${number % index}`))];
  const { needs, mends, ...rest } = draft;
  return { id: `s${index}`, dependsOn: before(needs), onFailureOf: before(mends), ...rest };
}

const asNew = (workspaceId: string, step: ModelStep, position: number): NewStep => ({
  stepId: step.id,
  position,
  dependsOn: step.dependsOn,
  onFailureOf: step.onFailureOf,
  needsApproval: false,
  work: {
    agent: 'opencode',
    action: 'generate_code',
    prompt: step.id,
    payload: {},
    profile: 'ask',
    model: 'scripted/test',
    fallback: step.hasFallback ? { agent: 'opencode', model: 'scripted/other' } : null,
    verify: null,
    priority: 0,
    timeoutMs: 60_000,
    maxAttempts: step.maxAttempts,
    retryDelayMs: 0,
  },
  workspace: {
    id: workspaceId,
    name: 'ws',
    ownerId: room.bridge.ownerId,
    ownerName: 'ada',
    organizationId: room.bridge.organizationId,
    organizationName: 'acme',
    templateName: 'docker',
    status: 'running',
    transition: 'start',
    jobStatus: 'succeeded',
    buildId: randomUUID(),
    templateVersionId: randomUUID(),
    agents: [],
  },
});

const engine = { enqueue: () => Promise.resolve(), signal: () => Promise.resolve() };
const partsOf = () => ({
  ...room.stopParts,
  engine,
  log: silentLogger,
  admit: () => room.admission.admitNow(),
  stopTask: (taskId: string, actorId: string, requestId: string) =>
    stopTask(room.stopParts, taskId, actorId, requestId),
});

/** Each in a workspace of its own, so that none takes another's places. */
const begin = ({ steps, maxParallel }: Plan): Promise<string> => {
  const workspaceId = randomUUID();
  const owner = { id: room.bridge.ownerId, name: 'ada', commitIdentity: { name: 'Ada', email: 'ada@localhost' } };
  const parts = { ...partsOf(), queueMax: 10_000 };
  return room.data.database.transaction((tx) =>
    startWorkflow(
      tx,
      parts,
      owner,
      { name: 'random', maxParallel, steps: steps.map((step, index) => asNew(workspaceId, step, index)) },
      'request',
    ),
  );
};

/** The newest task of each step, and a check that no step has two in one run. */
async function tasksNow(id: string): Promise<ReadonlyMap<string, TaskRecord>> {
  const tasks = [...(await tasksOfWorkflow(room.data.database, id))].sort((a, b) => a.stepRun - b.stepRun);
  expect(new Set(tasks.map((task) => `${task.stepId}:${task.stepRun}`)).size).toBe(tasks.length);
  return new Map(tasks.map((task) => [task.stepId ?? '', task]));
}

async function outcomesOf(id: string): Promise<ReadonlyMap<string, string>> {
  const workflow = await readWorkflow(room.data.database, id);
  const tasks = await tasksNow(id);
  return new Map(
    (workflow?.steps ?? []).flatMap((step) => {
      const task = tasks.get(step.stepId);
      const outcome = task?.stepRun === step.run ? task.outcome : stepOutcome(step, undefined);
      return outcome === null ? [] : [[step.stepId, outcome] as const];
    }),
  );
}

/** Drives a workflow to its end in an order of the plan's choosing, and looks at the rules after every turn. */
async function drive(plan: Plan, id: string, endOf: (task: TaskRecord) => AttemptEnd): Promise<{ canceled: boolean }> {
  const { database } = room.data;
  const parts = partsOf();
  const choices = [...plan.choices];
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  let canceled = false;
  const keyOf = (stepId: string, task: TaskRecord): string => `${stepId}:${task.stepRun}`;
  const begun = new Set([...(await tasksNow(id))].map(([stepId, task]) => keyOf(stepId, task)));
  for (let move = 0; move < 2_000; move += 1) {
    if (plan.cancelAfter === move && !(await readWorkflow(database, id))?.outcome) {
      await cancelWorkflow(parts, id, room.bridge.ownerId, 'request');
      canceled = true;
    }
    const isOver = await database.transaction((tx) => advance(tx, parts, id));
    const ended = await outcomesOf(id);
    const tasks = await tasksNow(id);
    for (const [stepId, task] of tasks) {
      const key = keyOf(stepId, task);
      if (begun.has(key)) continue;
      expect({ stepId, mayBegin: modelMayBegin(byId.get(stepId) as ModelStep, ended), canceled }).toEqual({
        stepId,
        mayBegin: true,
        canceled: false,
      });
      begun.add(key);
    }
    const open = [...tasks.values()].filter(({ state }) => state !== 'finished');
    if (!canceled) expect(open.length).toBeLessThanOrEqual(plan.maxParallel);
    if (isOver) return { canceled };
    await room.admission.admitNow();
    const running = [...(await tasksNow(id)).values()].filter(({ state }) => activeStates.includes(state));
    const chosen = running[(choices.shift() ?? 0) % Math.max(1, running.length)];
    if (!chosen) throw new Error(`nothing runs and the workflow is not over: ${JSON.stringify([...ended])}`);
    await database.transaction(async (tx) => {
      const task = (await lockTask(tx, chosen.id)) as TaskRecord;
      const evidence = task.state === 'stopping' ? stopped() : evidenceOf[endOf(task)]();
      await settleAttempt(tx, room.stopParts, task, evidence);
    });
  }
  throw new Error('the workflow never ended');
}

const attemptsOf = (plan: Plan, task: TaskRecord): AttemptEnd =>
  plan.steps.find(({ id }) => id === task.stepId)?.attempts[task.attempt - 1] ?? 'ok';

async function expectModel(plan: Plan): Promise<void> {
  const id = await begin(plan);
  const { canceled } = await drive(plan, id, (task) => attemptsOf(plan, task));
  const workflow = await readWorkflow(room.data.database, id);
  const real = await outcomesOf(id);
  const model = modelOutcomes(plan.steps, (step) => modelTask(step).outcome);
  if (canceled) {
    expect(workflow?.outcome).toBe('canceled');
    for (const { id: stepId } of plan.steps)
      expect([model.get(stepId), 'canceled', 'stopped']).toContain(real.get(stepId));
    return;
  }
  expect([...real]).toEqual([...model]);
  expect(workflow?.outcome).toBe(modelSum([...model.values()]));
  for (const [stepId, task] of await tasksNow(id))
    expect([stepId, task.attempt]).toEqual([
      stepId,
      modelTask(plan.steps.find((one) => one.id === stepId) as ModelStep).attempts,
    ]);
  await expectRetry(plan, id, model);
}

/** Takes a failed workflow up again from a step that failed; from then on everything goes well. */
async function expectRetry(plan: Plan, id: string, before: ReadonlyMap<string, string>): Promise<void> {
  const from = plan.steps.find((step) => before.get(step.id) === 'failed')?.id;
  if (from === undefined) return;
  const parts = { ...partsOf(), queueMax: 10_000 };
  const by = { actorId: room.bridge.ownerId, requestId: 'request' };
  await room.data.database.transaction((tx) => retryWorkflow(tx, parts, id, from, by));
  const again = new Set([from]);
  for (const step of plan.steps)
    if ([...step.dependsOn, ...step.onFailureOf].some((one) => again.has(one))) again.add(step.id);
  await drive({ ...plan, cancelAfter: null }, id, () => 'ok');

  const real = await outcomesOf(id);
  const keeps = (step: ModelStep): boolean =>
    !again.has(step.id) && !['canceled', 'skipped'].includes(before.get(step.id) ?? '');
  const model = modelOutcomes(plan.steps, (step) => (keeps(step) ? (before.get(step.id) ?? '') : 'succeeded'));
  expect([...real]).toEqual([...model]);
  expect((await readWorkflow(room.data.database, id))?.outcome).toBe(modelSum([...model.values()]));
}

describe('random workflows with retries, fallbacks and cancellations', () => {
  it(
    `start nothing that may not begin and nothing twice, always end, and end as the model says (${cases} of them)`,
    async () => {
      await fc.assert(fc.asyncProperty(plans, expectModel), {
        numRuns: cases,
        ...(seed === undefined ? {} : { seed: Number(seed) }),
      });
    },
    35 * 60_000,
  );
});
