import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

let outrigger: TestService;
let bridge: FakeBridge;
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const call = (token: string, scenario: string): Promise<Response> =>
  fetch(`${outrigger.url}/llm/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({
      model: 'scripted/test',
      stream: true,
      messages: [{ role: 'user', content: `SCENARIO:${scenario}` }],
      tools: [{ type: 'function', function: { name: 'bash', parameters: {} } }],
    }),
  });

const submit = async (): Promise<string> => {
  const body = {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } },
  };
  return (await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body)).body.id as string;
};
const task = async (id: string) =>
  (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}`)).body;

describe('a task token buys calls for one attempt, while it runs', () => {
  it('is metered, ends with its attempt, and its usage is the task’s', async () => {
    const id = await submit();
    const lease = await takeLease(bridge);

    expect((await call('ort_nonsense', 'text')).status).toBe(401);
    const answer = await call(lease.task_token, 'text');
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain('"finish_reason":"stop"');
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    await eventually('the task to finish', async () => (await task(id)).state === 'finished');

    expect((await task(id)).usage).toMatchObject({
      calls: 1,
      input_tokens: 800,
      cached_tokens: 200,
      output_tokens: 43,
    });
    expect((await call(lease.task_token, 'text')).status).toBe(401);
  });

  it('ends at the stop, and with it the call that is open', async () => {
    const id = await submit();
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'session.opened', {});
    const open = await call(lease.task_token, 'hangmid');
    const reading = open.text().then(
      () => 'ended',
      () => 'cut',
    );

    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);

    expect(await reading).toMatch(/ended|cut/);
    expect((await call(lease.task_token, 'text')).status).toBe(401);
    expect(outrigger.model.requests.at(-1)?.aborted).toBe(true);
    const stop = {
      stopped_at: new Date().toISOString(),
      method: 'abort' as const,
      processes_left: 0,
      tokens_after_stop: 0,
    };
    await bridge.request('result', { ...lease, evidence: goodEvidence({ stop }) });
    await eventually('the task to finish', async () => (await task(id)).outcome === 'stopped');
  });
});
