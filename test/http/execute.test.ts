import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { eventually } from '../support/clock.ts';
import { startTestService, type TestService } from '../support/service.ts';

const execute = '/api/v2/agents/execute';
const payload = { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } };

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const ask = (path: string) => outrigger.call(outrigger.people.ada, 'GET', path);
const post = (body: unknown, headers = {}) => outrigger.call(outrigger.people.ada, 'POST', execute, body, headers);
/** Stops whatever is there, as its owner does. */
const endAll = async (): Promise<void> => {
  const { rows } = await outrigger.database.pool.query<{ id: string }>(`select id from task where state <> 'finished'`);
  for (const { id } of rows) await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
  await eventually('all to end', async () => {
    const left = await outrigger.database.pool.query(`select 1 from task where state <> 'finished'`);
    return left.rowCount === 0;
  });
};

describe('S-30 POST /api/v2/agents/execute', () => {
  it('gives a task to the agent that supports it, named or not', async () => {
    for (const type of [undefined, 'opencode']) {
      const answer = await post({ type, payload });
      const { body: task } = await ask(`/api/v2/agents/tasks/${answer.body.id}`);

      expect(answer.status).toBe(202);
      expect(answer.headers.get('location')).toBe(`/api/v2/agents/tasks/${answer.body.id}`);
      expect(task).toMatchObject({ agent: 'opencode', type: 'opencode', action: 'generate_code' });
    }
  });

  it('answers the same task to a repeated Idempotency-Key', async () => {
    const key = { 'Idempotency-Key': randomUUID() };
    const first = await post({ payload }, key);

    expect((await post({ payload }, key)).body).toEqual(first.body);
    expect((await post({ payload, priority: 1 }, key)).status).toBe(409);
  });

  it.each([
    ['an action nobody has', { payload: { ...payload, action: 'fly' } }],
    ['a type nobody has', { type: 'robot', payload }],
    ['an action of another agent', { type: 'agentzero', payload }],
  ])('answers 422 with every agent and its actions for %s, and stores nothing', async (_title, body) => {
    const count = async () => (await outrigger.database.pool.query('select 1 from task')).rowCount;
    const before = await count();
    const answer = await post(body);

    expect(answer.status).toBe(422);
    expect(answer.body.code).toBe('no_agent_supports');
    expect(answer.body.errors).toEqual(
      expect.arrayContaining([
        { path: 'opencode', message: expect.stringContaining('generate_code') },
        { path: 'agentzero', message: expect.any(String) },
      ]),
    );
    expect(await count()).toBe(before);
  });

  it('takes the template of the action where there is no prompt, with what the payload says', async () => {
    const { action, context } = payload;
    const answer = await post({ payload: { action, context, language: 'Go' } });
    const { body: task } = await ask(`/api/v2/agents/tasks/${answer.body.id}`);

    expect(task.prompt).toMatch(/^Write the Go code this repository needs next\./);
  });
});

describe('a task that names no workspace', () => {
  const unnamed = { payload: { action: 'generate_code' } };

  it('is for the only running one of its caller', async () => {
    const answer = await post(unnamed);
    const { body: task } = await ask(`/api/v2/agents/tasks/${answer.body.id}`);

    expect(task.workspace_id).toBe(outrigger.workspace.id);
  });

  it('gets 422 with the choices where several run, and with what to do where none does', async () => {
    outrigger.coder.addWorkspace({ owner: 'ada', name: 'ws-other', running: true });
    const several = await post(unnamed);
    const none = await outrigger.call(outrigger.people.bob, 'POST', execute, unnamed);

    expect([several.status, several.body.code]).toEqual([422, 'workspace_ambiguous']);
    expect(several.body.detail).toMatch(/ws-123.*ws-other|ws-other.*ws-123/);
    expect([none.status, none.body.detail]).toEqual([422, expect.stringContaining('Start one in Coder')]);
  });
});

describe('what there is to run', () => {
  beforeEach(endAll);

  it('S-29 lists the agents with their actions, and entries of the caller’s own organizations only', async () => {
    const { rows } = await outrigger.database.pool.query<{ id: string }>(
      'select distinct organization_id as id from task',
    );
    for (const [id, name] of [
      [rows[0]?.id, 'ours'],
      [randomUUID(), 'theirs'],
    ])
      await outrigger.database.pool.query(
        `insert into agent_entry values ($1, $2, '{"credentials":[]}', now(), now(), 'user:x')`,
        [id, name],
      );
    const { status, body } = await ask('/api/v2/agents/registry');
    const names = body.items.map((one: { name: string }) => one.name);

    expect(status).toBe(200);
    expect(body.items[0]).toMatchObject({
      name: 'opencode',
      health: 'available',
      actions: expect.arrayContaining([{ name: 'generate_api', summary: expect.any(String) }]),
    });
    expect(names).toContain('agentzero');
    expect(names).toContain('ours');
    expect(names).not.toContain('theirs');
    expect((await outrigger.call(null, 'GET', '/api/v2/agents/registry')).status).toBe(401);
  });

  it('S-13 S-28 lists the agents a step of the caller may use: not those that their organization gave no credential', async () => {
    const names = async () =>
      (await ask('/api/v2/agents/agentzero/agents')).body.items.map((one: { name: string }) => one.name);
    expect(await names()).toEqual(expect.arrayContaining(['opencode', 'agentzero']));
    expect(await names()).not.toContain('kubernetes');

    const { admin } = outrigger.people;
    await outrigger.call(admin, 'PUT', '/api/v2/agents/secrets/lab', { config: 'kubeconfig' });
    await outrigger.call(admin, 'PUT', '/api/v2/agents/registry/kubernetes', {
      apiVersion: 'kubeopencode.io/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'kubernetes' },
      spec: { credentials: [{ name: 'lab', secretRef: { name: 'lab', key: 'config' }, env: 'KUBECONFIG' }] },
    });
    expect(await names()).toContain('kubernetes');
  });

  it('S-31 says health, queue length and the caller’s last error', async () => {
    const fresh = await ask('/api/v2/agents/status/opencode');
    const posted = await Promise.all([post({ payload }), post({ payload }), post({ payload })]);
    const waiting = await ask('/api/v2/agents/status/opencode');
    await outrigger.database.pool.query(
      `update task set state = 'finished', outcome = 'failed', reason = 'AgentError', message = 'It broke.',
         finished_at = now() where id = $1`,
      [posted[0].body.id],
    );
    const failed = await ask('/api/v2/agents/status/opencode');
    const other = await outrigger.call(outrigger.people.bob, 'GET', '/api/v2/agents/status/opencode');

    expect(fresh.body).toMatchObject({ name: 'opencode', health: 'available', queue_length: 0, last_error: null });
    expect(waiting.body.queue_length + waiting.body.running).toBe(3);
    expect(failed.body.last_error).toEqual({
      task_id: posted[0].body.id,
      at: expect.any(String),
      reason: 'AgentError',
      message: 'It broke.',
    });
    expect(other.body.last_error).toBeNull();
    expect((await ask('/api/v2/agents/status/robot')).status).toBe(404);
  });

  it('S-70 S-02 calls an agent unavailable that no process has announced for a while', async () => {
    const health = async () => (await ask('/api/v2/agents/status/opencode')).body.health as string;
    expect(await health()).toBe('available');
    // As when every process that announced it has died.
    await outrigger.database.pool.query(`update agent_presence set seen_at = seen_at - interval '1 minute'`);
    const { body } = await ask('/api/v2/agents/registry');

    expect(await health()).toBe('unavailable');
    expect(body.items[0]).toMatchObject({ name: 'opencode', health: 'unavailable' });
    // Until one is heard again.
    await eventually('the next announcement', async () => (await health()) === 'available');
  });

  it('finds agents by what they can do', async () => {
    const { body } = await ask('/api/v2/agents/registry?action=generate_ui');

    expect(body.items.map((one: { name: string }) => one.name)).toEqual(['opencode']);
    expect((await ask('/api/v2/agents/registry?action=fly')).body.items).toEqual([]);
  });
});
