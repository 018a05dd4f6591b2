import { randomUUID } from 'node:crypto';
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

const body = {
  type: 'opencode',
  payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
};
const submit = async (): Promise<string> => {
  const answer = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  return (answer.body as { id: string }).id;
};
const say = (id: string, text: unknown, headers = {}, who = outrigger.people.ada) =>
  outrigger.call(who, 'POST', `/api/v2/agents/tasks/${id}/messages`, { text }, headers);
const messages = async (id: string) =>
  (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}/messages`)).body.items;

describe('POST /api/v2/agents/tasks/{id}/messages', () => {
  it('reaches a task that waits with its lease, one that runs at once, and the next attempt where nothing heard it', async () => {
    const id = await submit();
    const early = await say(id, 'Use tabs.');
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'session.opened', { session_id: 'ses_1' });
    await bridge.event(lease, 2, 'message.sent', { id: early.body.id });
    const key = { 'Idempotency-Key': randomUUID() };
    const late = await say(id, 'And run the tests.', key);
    const again = await say(id, 'And run the tests.', key);
    const other = await say(id, 'Or not.', key);
    await eventually('the command', () => Promise.resolve(bridge.commands.some(({ type }) => type === 'message')));
    const before = await messages(id);
    await bridge.request('result', {
      ...lease,
      evidence: goodEvidence({ failure: { reason: 'AgentError', message: 'It broke.', retryable: true } }),
    });
    outrigger.clock.advance(11_000);
    const next = await takeLease(bridge);
    await bridge.event(next, 1, 'message.sent', { id: late.body.id });
    // A bridge that makes up ids of others changes nothing.
    await bridge.event(next, 2, 'message.sent', { id: 'no id' });
    await bridge.request('result', { ...next, evidence: goodEvidence() });
    await eventually('the end', async () => {
      const { body: task } = await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}`);
      return task.state === 'finished';
    });
    const finished = await say(id, 'Too late.');

    expect(early).toMatchObject({ status: 202, body: { task_id: id, text: 'Use tabs.', delivered_at: null } });
    expect(lease.messages).toEqual([{ id: early.body.id, text: 'Use tabs.' }]);
    expect(bridge.commands.filter(({ type }) => type === 'message').map(({ payload }) => payload)).toEqual([
      { task_id: id, attempt: 1, message: { id: late.body.id, text: 'And run the tests.' } },
    ]);
    expect(again.body).toEqual(late.body);
    expect(other.status).toBe(409);
    expect(before).toMatchObject([{ attempt: 1 }, { id: late.body.id, delivered_at: null }]);
    expect(next.messages).toEqual([{ id: late.body.id, text: 'And run the tests.' }]);
    expect(await messages(id)).toMatchObject([{ attempt: 1 }, { attempt: 2, delivered_at: expect.any(String) }]);
    expect(finished).toMatchObject({
      status: 409,
      body: { code: 'task_finished', detail: expect.stringContaining('succeeded') },
    });
  });

  it('is in the events and the audit, without its text', async () => {
    const id = await submit();
    const canary = 'canary-of-a-message';
    await say(id, canary);
    const { rows: events } = await outrigger.database.pool.query<{ data: unknown }>(
      `select data from task_event where task_id = $1 and type = 'message.queued'`,
      [id],
    );
    const { rows: audit } = await outrigger.database.pool.query<{ event: unknown }>(
      `select to_jsonb(audit_event) as event from audit_event where action = 'task.message_sent' and target_id = $1`,
      [id],
    );
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);

    expect([events.length, audit.length]).toEqual([1, 1]);
    expect(JSON.stringify([events, audit]) + outrigger.log()).not.toContain(canary);
  });

  it('is refused to strangers, and where it says nothing or too much', async () => {
    const id = await submit();
    const answers = await Promise.all([
      say(id, 'Mine now.', {}, outrigger.people.bob),
      say(id, ' '),
      say(id, 'x'.repeat(16 * 1024 + 1)),
      say(id, 7),
      say(randomUUID(), 'Hello?'),
    ]);
    const many = [];
    for (let count = 0; count <= 20; count += 1) many.push((await say(id, `Message ${count}`)).status);
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);

    expect(answers.map(({ status }) => status)).toEqual([404, 400, 400, 400, 404]);
    expect(many).toEqual([...Array<number>(20).fill(202), 429]);
  });

  it('are listed in pages, the first message first', async () => {
    const id = await submit();
    for (const text of ['one', 'two', 'three']) await say(id, text);
    const page = async (query: string) =>
      (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}/messages?${query}`)).body as {
        items: { text: string }[];
        next_cursor: string | null;
      };
    const first = await page('limit=2');
    const rest = await page(`limit=2&cursor=${first.next_cursor}`);

    expect([first, rest].map(({ items }) => items.map(({ text }) => text))).toEqual([['one', 'two'], ['three']]);
    expect(rest.next_cursor).toBeNull();
  });
});
