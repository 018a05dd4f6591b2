import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../modules/contract.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { step, stepOf, workflowsOf, workflowsPath } from '../support/workflows-room.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let room: ReturnType<typeof workflowsOf>;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '2' });
  bridge = await outrigger.bridge();
  room = workflowsOf(outrigger, bridge);
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const says = (text: string) => ({ last_message: { finish: 'stop', error: null, text } });
const fails = { last_message: { finish: 'length', error: null, text: 'half' } };
const chain = [
  step('a'),
  step('b', ['a'], { params: { prompt: 'a said {{steps.a.output}}' } }),
  step('c', ['b']),
  step('undo', [], { on_failure_of: ['b'] }),
];
const outcomes = (workflow: { steps: { id: string; outcome: string }[] }) =>
  Object.fromEntries(workflow.steps.map(({ id, outcome }) => [id, outcome]));

/** Runs the next lease to its end. */
async function next(change: object = {}): Promise<Lease> {
  const lease = await room.take();
  await room.begin(lease);
  await room.succeed(lease, change);
  return lease;
}

async function failedAtB(): Promise<string> {
  const id = await room.submit({ steps: chain });
  await next(says('one'));
  await next(fails);
  await next();
  expect(outcomes(await room.finished(id))).toEqual({
    a: 'succeeded',
    b: 'failed',
    c: 'canceled',
    undo: 'succeeded',
  });
  return id;
}

describe('retrying a workflow from a step', () => {
  it('runs it and what comes after anew, as new tasks on branches of their own, and keeps the rest and the history', async () => {
    const id = await failedAtB();
    const before = await room.read(id);

    const retried = await room.post(id, 'retry', { from: 'b' });
    expect([retried.status, retried.body.state, retried.body.run]).toEqual([202, 'running', 2]);
    const again = await next(says('two'));
    const after = await next();
    const workflow = await room.finished(id);

    expect([workflow.outcome, outcomes(workflow)]).toEqual([
      'succeeded',
      { a: 'succeeded', b: 'succeeded', c: 'succeeded', undo: 'skipped' },
    ]);
    expect([stepOf(again), stepOf(after)]).toEqual(['b', 'c']);
    expect(again.prompt).toBe('a said one');
    expect(again.base_commits).toEqual(['a'.repeat(40)]);
    expect(again.branch).toMatch(/-2\/b$/);
    expect(workflow.steps[0].task_id).toBe(before.steps[0].task_id);
    expect(workflow.steps[1].task_id).not.toBe(before.steps[1].task_id);
    expect(workflow.steps[1].earlier).toMatchObject([
      { run: 1, task_id: before.steps[1].task_id, outcome: 'failed', reason: 'Truncated' },
    ]);
    expect(workflow.steps[3].earlier).toMatchObject([{ run: 1, outcome: 'succeeded' }]);
    const audit = (await room.call('GET', `/api/v2/agents/audit?workflow=${id}`)).body.items as { action: string }[];
    expect(audit.map(({ action }) => action)).toContain('workflow.retried');
  });

  it('takes a canceled workflow up again, with all that never began', async () => {
    const id = await room.submit({ steps: [step('a'), step('b'), step('c', ['b'])], max_parallel: 1 });
    const first = await room.take();
    await room.begin(first);
    await room.post(id, 'cancel');
    await room.succeed(first);
    expect(outcomes(await room.finished(id))).toEqual({ a: 'succeeded', b: 'canceled', c: 'canceled' });

    expect((await room.post(id, 'retry', { from: 'b' })).status).toBe(202);
    await next();
    await next();
    const workflow = await room.finished(id);
    expect([workflow.outcome, workflow.cancel_requested_at]).toEqual(['succeeded', null]);
    expect(workflow.steps[0].run).toBe(1);
  });

  it('begins once, however often the same request is sent', async () => {
    const id = await failedAtB();
    const retry = () =>
      outrigger.call(
        outrigger.people.ada,
        'POST',
        `${workflowsPath}/${id}/retry`,
        { from: 'b' },
        {
          'Idempotency-Key': 'again-1',
        },
      );
    const answers = await Promise.all([retry(), retry(), retry()]);

    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    await next();
    await next();
    expect((await room.finished(id)).run).toBe(2);
  });

  it('refuses while it runs, a step that is unknown or cannot begin, and everybody else', async () => {
    const running = await room.submit({ steps: [step('a')] });
    expect(await refusal(running, { from: 'a' })).toEqual([409, 'workflow_not_finished']);
    await next();
    await room.finished(running);

    const id = await failedAtB();
    expect(await refusal(id, { from: 'x' })).toEqual([422, 'step_unknown']);
    expect(await refusal(id, { from: 'c' })).toEqual([422, 'step_cannot_start']);
    expect(await refusal(id, {})).toEqual([400, 'invalid_request']);
    const foreign = await outrigger.call(outrigger.people.bob, 'POST', `${workflowsPath}/${id}/retry`, { from: 'b' });
    expect(foreign.status).toBe(404);
    expect((await room.read(id)).run).toBe(1);
  });
});

async function refusal(id: string, body: object): Promise<unknown[]> {
  const answer = await room.post(id, 'retry', body);
  return [answer.status, (answer.body as { code: string }).code];
}
