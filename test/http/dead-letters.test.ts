import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const letters = '/api/v2/agents/dead-letters';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

describe('S-107 dead letters', () => {
  it('hold a task after its last attempt, and send it back into the queue once', async () => {
    const { ada, bob } = outrigger.people;
    const call = (method: string, path: string, body?: unknown) => outrigger.call(ada, method, path, body);
    const task = async (id: string) => (await call('GET', `/api/v2/agents/tasks/${id}`)).body;
    const bridge = await outrigger.bridge();
    const { body: submitted } = await call('POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
      retry: { max: 2, backoff_seconds: 0 },
      priority: 7,
    });
    const lost = goodEvidence({ failure: { reason: 'AgentServerNotReady', message: 'No answer.', retryable: true } });
    for (const attempt of [1, 2]) {
      const lease = await takeLease(bridge);
      expect(lease.attempt).toBe(attempt);
      expect((await call('GET', letters)).body.items).toEqual([]);
      await bridge.request('result', { ...lease, evidence: lost });
    }
    const dead = await eventually('the task to end', async () => {
      const now = await task(submitted.id);
      return now.state === 'finished' ? now : undefined;
    });
    const { body: list } = await call('GET', letters);

    expect(dead).toMatchObject({ outcome: 'failed', attempt: 2, attempts: [{ number: 1 }, { number: 2 }] });
    expect(list.items).toMatchObject([
      { task_id: submitted.id, attempts: 2, reason: 'AgentServerNotReady', requeued_as: null },
    ]);
    expect((await outrigger.call(bob, 'GET', letters)).body.items).toEqual([]);

    const path = `${letters}/${list.items[0].id}/requeue`;
    expect((await outrigger.call(bob, 'POST', path)).status).toBe(404);
    expect((await call('POST', `${letters}/nonsense/requeue`)).status).toBe(404);
    const [first, second] = await Promise.all([call('POST', path), call('POST', path)]);
    expect([first.status, second.body]).toEqual([202, first.body]);

    const again = await takeLease(bridge);
    expect(again).toMatchObject({ task_id: first.body.id, attempt: 1 });
    expect(again.prompt).toContain('Do it');
    expect(await task(first.body.id)).toMatchObject({ priority: 7, max_attempts: 2 });
    await bridge.request('result', { ...again, evidence: goodEvidence() });
    await eventually('the new task to end', async () => (await task(first.body.id)).outcome === 'succeeded');
    expect((await call('GET', letters)).body.items).toMatchObject([{ requeued_as: first.body.id }]);
    bridge.close();
  });

  it('of a step builds on the same commits again', async () => {
    const { ada } = outrigger.people;
    const bridge = await outrigger.bridge();
    const step = { agent: 'opencode', task: 'generate_code', retry: { max: 1, backoff_seconds: 0 } };
    await outrigger.call(ada, 'POST', '/api/v2/agents/agentzero/workflows', {
      name: 'two steps',
      workspace_id: 'ws-123',
      steps: [
        { ...step, id: 'first' },
        { ...step, id: 'second', depends_on: ['first'] },
      ],
    });
    await bridge.request('result', { ...(await takeLease(bridge)), evidence: goodEvidence() });
    const second = await takeLease(bridge);
    const lost = goodEvidence({ failure: { reason: 'AgentServerNotReady', message: 'No answer.', retryable: true } });
    await bridge.request('result', { ...second, evidence: lost });
    const letter = await eventually('the letter', async () => {
      const { body } = await outrigger.call(ada, 'GET', letters);
      return body.items.find((one: { task_id: string }) => one.task_id === second.task_id) as { id: string };
    });
    await outrigger.call(ada, 'POST', `${letters}/${letter.id}/requeue`);
    const again = await takeLease(bridge);

    expect(second.base_commits).toEqual(['a'.repeat(40)]);
    expect(again.base_commits).toEqual(second.base_commits);
    bridge.close();
  });
});
