import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { step, workflowsOf, workflowsPath } from '../support/workflows-room.ts';

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

const receipt = {
  stopped_at: '2026-11-21T00:00:00.000Z',
  method: 'abort' as const,
  processes_left: 0,
  tokens_after_stop: 0,
};
const outcomes = (workflow: { steps: { id: string; outcome: string }[] }) =>
  Object.fromEntries(workflow.steps.map(({ id, outcome }) => [id, outcome]));

describe('canceling a workflow', () => {
  it('stops what runs with its receipt, starts nothing more, and says so in the audit', async () => {
    const id = await room.submit({ steps: [step('a'), step('b'), step('c'), step('d', ['a'])] });
    const first = await room.take();
    const second = await room.take([first]);
    await room.begin(first);
    await room.begin(second);

    const canceled = await room.post(id, 'cancel');
    expect([canceled.status, canceled.body.state]).toEqual([202, 'running']);
    await eventually('both to be told', () =>
      Promise.resolve(bridge.commands.filter(({ type }) => type === 'stop').length === 2),
    );
    for (const lease of [first, second]) await room.succeed(lease, { stop: receipt });

    const workflow = await room.finished(id);
    expect(workflow.outcome).toBe('canceled');
    expect(outcomes(workflow)).toEqual({ a: 'stopped', b: 'stopped', c: 'canceled', d: 'canceled' });
    expect(workflow.steps[3].message).toBe('The workflow was canceled.');
    const audit = (await room.call('GET', '/api/v2/agents/audit?limit=200')).body.items as {
      action: string;
      data: { stop_method?: string };
    }[];
    expect(audit.filter(({ action }) => action === 'workflow.cancel_requested')).toHaveLength(1);
    expect(audit.filter(({ data }) => data?.stop_method === 'abort')).toHaveLength(2);
  });

  it('is idempotent, before and after the end', async () => {
    const id = await room.submit({ steps: [step('a')] });
    const lease = await room.take();
    await room.begin(lease);

    expect((await room.post(id, 'cancel')).status).toBe(202);
    expect((await room.post(id, 'cancel')).status).toBe(202);
    await room.succeed(lease, { stop: receipt });
    await room.finished(id);
    const again = await room.post(id, 'cancel');
    expect([again.status, again.body.outcome]).toEqual([202, 'canceled']);
  });

  it('wins over a step that ends by itself at the same moment', async () => {
    const id = await room.submit({ steps: [step('a'), step('b', ['a'])] });
    const lease = await room.take();
    await room.begin(lease);
    const canceled = await room.post(id, 'cancel');
    await room.succeed(lease);

    expect(canceled.status).toBe(202);
    const workflow = await room.finished(id);
    expect(workflow.outcome).toBe('canceled');
    expect(outcomes(workflow)).toEqual({ a: 'succeeded', b: 'canceled' });
    expect(workflow.steps[1].task_id).toBeNull();
  });

  it('wins over an attempt that failed and would have been tried again', async () => {
    const retry = { max: 3, backoff_seconds: 0 };
    const id = await room.submit({ steps: [step('a', [], { retry })] });
    const lease = await room.take();
    await room.begin(lease);
    const error = { name: 'APIError', message: 'no', status_code: 503 };
    await Promise.all([
      room.succeed(lease, { last_message: { finish: null, error, text: '' }, commit: null }),
      room.post(id, 'cancel'),
    ]);

    const workflow = await room.finished(id);
    expect(workflow.outcome).toBe('canceled');
    const { body: task } = await room.call('GET', `/api/v2/agents/tasks/${workflow.steps[0].task_id}`);
    expect(task.state).toBe('finished');
    expect(task.attempts.length).toBeLessThanOrEqual(2);
  });

  it('refuses one that ended otherwise, and hides those of others', async () => {
    const id = await room.submit({ steps: [step('a')] });
    const lease = await room.take();
    await room.begin(lease);
    await room.succeed(lease);
    await room.finished(id);

    const refused = await room.post(id, 'cancel');
    expect([refused.status, refused.body.code]).toEqual([409, 'workflow_finished']);
    const foreign = await outrigger.call(outrigger.people.bob, 'POST', `${workflowsPath}/${id}/cancel`);
    expect(foreign.status).toBe(404);
  });
});
