import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type Answer, type TestService } from '../support/service.ts';

const tasks = '/api/v2/agents/opencode/tasks';
const body = {
  type: 'opencode',
  payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
};

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_QUEUE_MAX: '6' });
  outrigger.coder.addWorkspace({ owner: 'bob', name: 'ws-bob', running: true });
});
afterAll(async () => {
  await outrigger.stop();
});

const call = (method: string, path: string, given?: unknown, headers = {}) =>
  outrigger.call(outrigger.people.ada, method, path, given, headers);
const read = (id: string, query = '', headers = {}) => call('GET', `${tasks}/${id}${query}`, undefined, headers);
const stateOf = async (id: string) => (await read(id)).body.state;
/** Stops whatever is there or still comes, as its owner does. */
const endAll = () =>
  eventually('all to end', async () => {
    const { pool } = outrigger.database;
    const { rows } = await pool.query<{ id: string; owner_id: string }>(
      `select id, owner_id from task where state <> 'finished'`,
    );
    for (const { id, owner_id: ownerId } of rows) {
      const owner = Object.values(outrigger.people).find((one) => one.id === ownerId) ?? outrigger.people.admin;
      await outrigger.call(owner, 'POST', `/api/v2/agents/tasks/${id}/stop`);
    }
    const open = await pool.query('select 1 from workflow where outcome is null');
    return rows.length === 0 && open.rowCount === 0;
  });
const workflowOf = (steps: readonly object[], more = {}) =>
  call('POST', '/api/v2/agents/agentzero/workflows', {
    name: 'w',
    workspace_id: 'ws-123',
    steps: steps.map((one) => ({ agent: 'opencode', task: 'generate_code', ...one })),
    ...more,
  });
const byBob = () =>
  outrigger.call(outrigger.people.bob, 'POST', tasks, {
    ...body,
    payload: { ...body.payload, context: { workspace_id: 'ws-bob' } },
  });
/** Submits one that begins, so that all others of its workspace wait. */
const occupy = async (): Promise<void> => {
  const { body: first } = await call('POST', tasks, body);
  await eventually('the first to start', async () => (await stateOf(first.id)) === 'starting');
};
const mustBeRefused = (answer: Answer, status: number, code: string): void => {
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
};

describe('S-105 S-106 the queue', () => {
  it('takes as many as queue.max says, half of them from one owner, refuses the next with Retry-After, and loses none', async () => {
    await occupy();
    const key = { 'Idempotency-Key': 'the-second' };
    const second = await call('POST', tasks, body, key);
    const more = [second, await call('POST', tasks, body), await call('POST', tasks, body)];
    const beyondShare = await call('POST', tasks, body);
    const ofBob = await byBob();
    await eventually('his first to start', async () => {
      const { body: now } = await outrigger.call(outrigger.people.bob, 'GET', `${tasks}/${ofBob.body.id}`);
      return now.state === 'starting';
    });
    const his = [await byBob(), await byBob(), await byBob()];

    expect([...more, ...his].map(({ status }) => status)).toEqual([202, 202, 202, 202, 202, 202]);
    mustBeRefused(beyondShare, 429, 'queue_share_full');
    for (const refused of [await call('POST', tasks, body), await workflowOf([{ id: 'a' }]), await byBob()])
      mustBeRefused(refused, 503, 'queue_full');
    expect((await call('POST', tasks, body, key)).body).toEqual(second.body);
    expect(await Promise.all(more.map((one) => stateOf(one.body.id)))).toEqual(['queued', 'queued', 'queued']);
    expect((await call('GET', tasks)).body.items).toHaveLength(4);

    await call('POST', `/api/v2/agents/tasks/${more[2]?.body.id}/stop`);
    expect((await call('POST', tasks, body)).status).toBe(202);
    await endAll();
  });

  it('counts the steps that a workflow begins with, and takes a wide one when nothing of its owner waits', async () => {
    await occupy();
    const wide = [{ id: 'a' }, { id: 'b' }, { id: 'c' }];
    await call('POST', tasks, body);

    mustBeRefused(await workflowOf(wide), 429, 'queue_share_full');
    expect((await workflowOf(wide, { max_parallel: 2 })).status).toBe(201);
    await endAll();
    expect((await workflowOf([...wide, { id: 'd' }, { id: 'e', depends_on: ['d'] }])).status).toBe(201);
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
    const waiting = read(submitted.id, '?wait=55');
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'message.text', { text: 'working' });
    await bridge.request('result', { ...lease, evidence: goodEvidence() });

    expect((await waiting).body).toMatchObject({ state: 'finished', outcome: 'succeeded' });
    expect((await read(submitted.id, '?wait=55')).body.state).toBe('finished');
    bridge.close();
    await bridge.closed;
  });

  it('waits with ?wait= and If-None-Match until the task has changed', async () => {
    const bridge = await outrigger.bridge();
    const { body: submitted } = await call('POST', tasks, body);
    const lease = await takeLease(bridge);
    const etag = (await read(submitted.id)).headers.get('etag') ?? '';
    const waiting = read(submitted.id, '?wait=55', { 'If-None-Match': etag });
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
    for (const wait of ['-1', '56', 'long']) expect((await read(submitted.id, `?wait=${wait}`)).status).toBe(400);
    await endAll();
  });

  it('lets one person wait eight times at once, and answers 429 with Retry-After to the ninth', async () => {
    const { body: submitted } = await call('POST', tasks, body);
    const answers: Answer[] = [];
    const waiting = Array.from({ length: 9 }, async () => answers.push(await read(submitted.id, '?wait=55')));
    const refused = await eventually('one to be refused', () => Promise.resolve(answers.at(0)));
    mustBeRefused(refused, 429, 'too_many_waits');
    await endAll();
    await Promise.all(waiting);

    expect(answers.slice(1).map((one) => one.body.state)).toEqual(Array.from({ length: 8 }, () => 'finished'));
    expect((await read(submitted.id, '?wait=55')).status).toBe(200);
  });
});
