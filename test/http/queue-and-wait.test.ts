import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const tasks = '/api/v2/agents/opencode/tasks';
const body = {
  type: 'opencode',
  payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
};

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_QUEUE_MAX: '3' });
});
afterAll(async () => {
  await outrigger.stop();
});

const call = (method: string, path: string, given?: unknown, headers = {}) =>
  outrigger.call(outrigger.people.ada, method, path, given, headers);
const read = (id: string, query = '', headers = {}) => call('GET', `${tasks}/${id}${query}`, undefined, headers);
const stateOf = async (id: string) => (await read(id)).body.state;
/** Stops whatever is there, as its owner does. */
const endAll = async (): Promise<void> => {
  const { rows } = await outrigger.database.pool.query<{ id: string }>(`select id from task where state <> 'finished'`);
  for (const { id } of rows) await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
  await eventually('all to end', async () => {
    const left = await outrigger.database.pool.query(`select 1 from task where state <> 'finished'`);
    return left.rowCount === 0;
  });
};

describe('S-105 S-106 the queue', () => {
  it('takes as many as queue.max says, refuses the next with 503 and Retry-After, and loses none it took', async () => {
    const first = await call('POST', tasks, body);
    await eventually('the first to start', async () => (await stateOf(first.body.id)) === 'starting');
    const key = { 'Idempotency-Key': 'the-second' };
    const second = await call('POST', tasks, body, key);
    const more = [second, await call('POST', tasks, body), await call('POST', tasks, body)];
    const refused = await call('POST', tasks, body);
    const steps = [{ id: 'a', agent: 'opencode', task: 'generate_code' }];
    const workflow = await call('POST', '/api/v2/agents/agentzero/workflows', {
      name: 'w',
      workspace_id: 'ws-123',
      steps,
    });

    expect(more.map(({ status }) => status)).toEqual([202, 202, 202]);
    for (const answer of [refused, workflow]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'queue_full']);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect((await call('POST', tasks, body, key)).body).toEqual(second.body);
    expect(await Promise.all(more.map((one) => stateOf(one.body.id)))).toEqual(['queued', 'queued', 'queued']);
    expect((await call('GET', tasks)).body.items).toHaveLength(4);

    await call('POST', `/api/v2/agents/tasks/${more[2]?.body.id}/stop`);
    expect((await call('POST', tasks, body)).status).toBe(202);
    await endAll();
  });
});

describe('S-24 GET …/opencode/tasks/{id}', () => {
  it('answers an ETag, and 304 for as long as nothing changed', async () => {
    const { body: submitted } = await call('POST', tasks, body);
    await eventually('it to start', async () => (await stateOf(submitted.id)) === 'starting');
    await eventually('it to be offered', async () => (await read(submitted.id)).body.reason === 'AgentServerNotReady');
    const first = await read(submitted.id);
    const etag = first.headers.get('etag') ?? '';
    const again = await read(submitted.id, '', { 'If-None-Match': etag });
    const weak = await read(submitted.id, '', { 'If-None-Match': `"other", W/${etag}` });
    await call('POST', `/api/v2/agents/tasks/${submitted.id}/stop`);
    const changed = await read(submitted.id, '', { 'If-None-Match': etag });

    expect(etag).toMatch(/^"[\w-]{22}"$/);
    expect([again.status, again.body, again.headers.get('etag')]).toEqual([304, '', etag]);
    expect(weak.status).toBe(304);
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
    await endAll();
  });

  it('waits with ?wait= until the task has ended', async () => {
    const bridge = await outrigger.bridge();
    const { body: submitted } = await call('POST', tasks, body);
    const waiting = read(submitted.id, '?wait=60');
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'message.text', { text: 'working' });
    await bridge.request('result', { ...lease, evidence: goodEvidence() });

    expect((await waiting).body).toMatchObject({ state: 'finished', outcome: 'succeeded' });
    expect((await read(submitted.id, '?wait=60')).body.state).toBe('finished');
    bridge.close();
    await bridge.closed;
  });

  it('waits with ?wait= and If-None-Match until the task has changed', async () => {
    const bridge = await outrigger.bridge();
    const { body: submitted } = await call('POST', tasks, body);
    const lease = await takeLease(bridge);
    const etag = (await read(submitted.id)).headers.get('etag') ?? '';
    const waiting = read(submitted.id, '?wait=60', { 'If-None-Match': etag });
    await bridge.event(lease, 1, 'message.text', { text: 'working' });

    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(answer.body.state).toBe('running');
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    bridge.close();
    await bridge.closed;
    await endAll();
  });

  it('answers what there is when the time is over, and refuses a time that is none', async () => {
    const { body: submitted } = await call('POST', tasks, body);

    expect((await read(submitted.id, '?wait=1')).body.state).not.toBe('finished');
    for (const wait of ['-1', '61', 'long']) expect((await read(submitted.id, `?wait=${wait}`)).status).toBe(400);
    await endAll();
  });
});
