import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/clock.ts';
import { goodEvidence, registerBridge, startFakeBridge, takeLease } from '../support/fake-bridge.ts';
import { makeApi } from '../support/stage/api.ts';
import { startTestService, type TestService } from '../support/service.ts';

const fixture = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', name), 'utf8')) as Record<string, unknown>;
const taskFixture = fixture('opencode/task.request.json');
const workflowFixture = fixture('agentzero/workflow.request.json');
const tasksPath = '/api/v2/agents/opencode/tasks';
const workflowsPath = '/api/v2/agents/agentzero/workflows';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(async () => {
  await outrigger.stop();
});

const count = async (table: string): Promise<number> => {
  const { rows } = await outrigger.database.pool.query<{ n: number }>(`select count(*)::int as n from ${table}`);
  return rows[0]?.n ?? 0;
};
const readTask = async (id: string) =>
  (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}`)).body;
const submit = async (change: Record<string, unknown> = {}): Promise<string> => {
  const answer = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, { ...taskFixture, ...change });
  expect(answer.status).toBe(202);
  return (answer.body as { id: string }).id;
};
const finished = (id: string) =>
  eventually(`task ${id} to finish`, async () => {
    const task = await readTask(id);
    return task.state === 'finished' ? task : undefined;
  });

describe('S-23 S-36 C-20 POST /api/v2/agents/opencode/tasks', () => {
  it('accepts the documented body unchanged with 202, id and status', async () => {
    const answer = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, taskFixture);

    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ id: expect.any(String), status: 'queued' });
    expect(answer.headers.get('location')).toBe(`/api/v2/agents/tasks/${answer.body.id}`);
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${answer.body.id}/stop`);
    await finished(answer.body.id);
  });

  it('answers the same task to a repeated Idempotency-Key, and 409 when the body differs', async () => {
    const key = { 'Idempotency-Key': randomUUID() };
    const first = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, taskFixture, key);
    const again = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, taskFixture, key);
    const other = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, { ...taskFixture, priority: 5 }, key);

    expect(again.body).toEqual(first.body);
    expect(other.status).toBe(409);
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${first.body.id}/stop`);
    await finished(first.body.id);
  });
});

describe('bad input gets a clear problem and stores nothing', () => {
  const payload = taskFixture['payload'] as Record<string, unknown>;
  const context = { workspace_id: 'ws-123' };
  const cases: readonly [title: string, path: string, body: unknown, status: number, code: string, words: string][] = [
    ['S-46 an unknown type', tasksPath, { ...taskFixture, type: 'robot' }, 422, 'type_unknown', 'robot'],
    [
      'S-12 S-40 an unknown action, with the list',
      tasksPath,
      { ...taskFixture, payload: { ...payload, action: 'fly' } },
      422,
      'action_unknown',
      'generate_code',
    ],
    [
      'an empty prompt',
      tasksPath,
      { ...taskFixture, payload: { ...payload, prompt: '  ' } },
      400,
      'invalid_request',
      'empty',
    ],
    [
      'a prompt above 256 KiB',
      tasksPath,
      { ...taskFixture, payload: { ...payload, prompt: 'x'.repeat(262_145) } },
      400,
      'invalid_request',
      '256 KiB',
    ],
    ['wrong types', tasksPath, { type: 7, payload: 'text' }, 400, 'invalid_request', 'payload'],
    ['an unknown field', tasksPath, { ...taskFixture, speed: 'fast' }, 400, 'invalid_request', 'speed'],
    ['text that is no JSON', tasksPath, '{"type":', 400, 'malformed_json', 'JSON'],
    ['a list instead of an object', tasksPath, [], 400, 'invalid_request', 'object'],
    [
      'a workspace that does not exist',
      tasksPath,
      { ...taskFixture, payload: { ...payload, context: { workspace_id: randomUUID() } } },
      404,
      'not_found',
      'Workspace',
    ],
    [
      'a profile the admin does not allow',
      tasksPath,
      { ...taskFixture, profile: 'trusted' },
      422,
      'profile_not_allowed',
      'ask',
    ],
    [
      'a model that is not listed (part of P-52)',
      tasksPath,
      { ...taskFixture, model: 'acme/none' },
      422,
      'model_not_allowed',
      'scripted/test',
    ],
    [
      'a step for an agent that does not exist',
      workflowsPath,
      { name: 'x', ...context, steps: [{ id: 'a', agent: 'robot', task: 'fly' }] },
      422,
      'agent_unknown',
      'kubernetes',
    ],
    [
      'a step with params that its action does not take (part of S-47)',
      workflowsPath,
      {
        name: 'x',
        ...context,
        steps: [{ id: 'a', agent: 'kubernetes', task: 'apply_manifest', params: { manifest: 7, privileged: true } }],
      },
      422,
      'params_invalid',
      'params.manifest',
    ],
    [
      'a step that changes a cluster with a profile that asks, because nobody would be asked',
      workflowsPath,
      { name: 'x', ...context, steps: [{ id: 'a', agent: 'kubernetes', task: 'apply_manifest', profile: 'ask' }] },
      422,
      'profile_not_enough',
      'trusted',
    ],
    [
      'a step whose params are to come from another step',
      workflowsPath,
      {
        name: 'x',
        ...context,
        steps: [
          { id: 'a', agent: 'opencode', task: 'generate_code' },
          {
            id: 'b',
            agent: 'kubernetes',
            task: 'apply_manifest',
            depends_on: ['a'],
            params: { manifest: '{{ steps.a.output }}' },
          },
        ],
      },
      422,
      'output_in_params',
      "'b'",
    ],
    ['a workflow without steps', workflowsPath, { name: 'x', steps: [] }, 400, 'invalid_request', 'step'],
    [
      'a workflow with a cycle',
      workflowsPath,
      {
        name: 'x',
        ...context,
        steps: [
          { id: 'a', agent: 'opencode', task: 'generate_code', depends_on: ['b'] },
          { id: 'b', agent: 'opencode', task: 'generate_code', depends_on: ['a'] },
        ],
      },
      400,
      'workflow_has_cycle',
      'a → b → a',
    ],
    [
      'a workflow with an output nobody made yet',
      workflowsPath,
      {
        name: 'x',
        ...context,
        steps: [
          { id: 'a', agent: 'opencode', task: 'generate_code' },
          { id: 'b', agent: 'opencode', task: 'generate_code', params: { prompt: '{{steps.a.output}}' } },
        ],
      },
      400,
      'output_not_ready',
      'depends_on',
    ],
  ];

  it.each(cases)('%s', async (_title, path, body, status, code, words) => {
    const before = [await count('task'), await count('workflow')];

    const answer = await outrigger.call(outrigger.people.ada, 'POST', path, body);

    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.body).toMatchObject({ status, code, request_id: answer.headers.get('x-request-id') });
    expect(JSON.stringify(answer.body)).toContain(words);
    expect([await count('task'), await count('workflow')]).toEqual(before);
  });

  it('refuses a body of 10 MB with 413', async () => {
    const answer = await outrigger.call(outrigger.people.ada, 'POST', tasksPath, {
      ...taskFixture,
      payload: { ...payload, prompt: 'x'.repeat(10_000_000) },
    });

    expect(answer.status).toBe(413);
    expect(answer.body.code).toBe('body_too_large');
  });
});

describe('S-33 who may (part of S-32)', () => {
  it('answers 401 without a token and with a wrong one', async () => {
    for (const person of [null, { id: '', token: 'abcdefghij-0123456789012345678901' }]) {
      const answer = await outrigger.call(person, 'POST', tasksPath, taskFixture);

      expect(answer.status).toBe(401);
    }
  });

  it('answers 404, not 403, for another person’s workspace, task, approval and workflow', async () => {
    const id = await submit();
    const body = {
      ...taskFixture,
      payload: { ...(taskFixture['payload'] as object), context: { workspace_id: outrigger.workspace.id } },
    };

    expect((await outrigger.call(outrigger.people.bob, 'POST', tasksPath, body)).status).toBe(404);
    for (const path of [`/api/v2/agents/tasks/${id}`, `/api/v2/agents/tasks/${id}/events`])
      expect((await outrigger.call(outrigger.people.bob, 'GET', path)).status).toBe(404);
    expect((await outrigger.call(outrigger.people.bob, 'POST', `/api/v2/agents/tasks/${id}/stop`)).status).toBe(404);
    expect((await outrigger.call(outrigger.people.bob, 'GET', '/api/v2/agents/tasks')).body.items).toEqual([]);
    expect((await readTask(id)).state).not.toBe('stopping');
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
    await finished(id);
  });

  it('S-21 refuses a registration with a wrong proof, another workspace’s id or an old protocol', async () => {
    const proof = await outrigger.proof();
    const right = {
      url: outrigger.url,
      proof,
      workspaceId: outrigger.workspace.id,
      agentId: outrigger.workspace.agentId,
    };
    const before = await count('bridge');

    expect(
      (await registerBridge({ ...right, proof: `${proof.slice(0, -1)}${proof.endsWith('0') ? '1' : '0'}` })).status,
    ).toBe(401);
    expect((await registerBridge({ ...right, proof: 'nonsense' })).status).toBe(401);
    expect((await registerBridge({ ...right, workspaceId: randomUUID() })).status).toBe(401);
    expect((await registerBridge({ ...right, agentId: randomUUID() })).status).toBe(401);
    expect((await registerBridge({ ...right, protocolVersion: 0 })).status).toBe(426);
    expect(await count('bridge')).toBe(before);
  });
});

describe('the life of a task', () => {
  it('P-59 runs from queued to succeeded, and its events can be resumed by Last-Event-ID (part of S-24)', async () => {
    const bridge = await outrigger.bridge();
    const id = await submit();
    const lease = await takeLease(bridge);
    expect(lease).toMatchObject({ task_id: id, attempt: 1, session_id: null, profile: 'ask' });
    expect(lease.prompt).toContain('Create a REST API endpoint for user management');
    await bridge.event(lease, 1, 'session.opened', { session_id: 'ses_1' });
    await bridge.event(lease, 2, 'message.text', { text: 'working' });

    expect(await bridge.event(lease, 2, 'message.text', { text: 'working' })).toBe(2);
    expect(await bridge.event(lease, 9, 'message.text', { text: 'too early' })).toBe(2);
    expect(await bridge.request('result', { ...lease, evidence: goodEvidence() })).toEqual({ accepted: true });
    expect(await bridge.request('result', { ...lease, evidence: goodEvidence() })).toEqual({ accepted: true });

    const task = await finished(id);
    expect(task).toMatchObject({
      ...{ outcome: 'succeeded', attempt: 1, session_id: 'ses_test' },
      outcome_evidence: expect.arrayContaining([
        { kind: 'last_message', says: 'supports', text: expect.any(String) },
        { kind: 'commit', says: 'supports', text: expect.any(String) },
      ]),
    });
    const api = makeApi(() => outrigger.url, outrigger.people.ada.token);
    const all = [];
    for await (const event of api.events(id, 0)) all.push(event);
    const rest = [];
    for await (const event of api.events(id, 4)) rest.push(event);
    expect(all.map((event) => event.seq)).toEqual(all.map((_event, index) => index + 1));
    expect(all.map((event) => event.type)).toEqual([
      'task.queued',
      'task.starting',
      'task.leased',
      'task.running',
      'session.opened',
      'message.text',
      'task.finished',
    ]);
    expect(rest).toEqual(all.slice(4));
    bridge.close();
    await bridge.closed;
  });

  it('holds a question until it is decided, tells the bridge, and goes on (part of D5)', async () => {
    const bridge = await outrigger.bridge();
    const id = await submit();
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'session.opened', {});
    const ask = {
      ...lease,
      ask_id: 'per_1',
      kind: 'permission' as const,
      title: 'npm test',
      detail: { command: 'npm test' },
    };
    const { approval_id: approvalId } = await bridge.request('ask', ask);

    expect((await bridge.request('ask', ask)).approval_id).toBe(approvalId);
    expect((await readTask(id)).state).toBe('waiting');
    const path = `/api/v2/agents/approvals/${approvalId}/decision`;
    expect((await outrigger.call(outrigger.people.bob, 'POST', path, { decision: 'once' })).status).toBe(404);
    expect((await outrigger.call(outrigger.people.ada, 'POST', path, { decision: 'forever' })).status).toBe(400);
    const { body: pending } = await outrigger.call(
      outrigger.people.ada,
      'GET',
      `/api/v2/agents/approvals?state=pending&task_id=${id}`,
    );
    expect(pending.items).toMatchObject([{ id: approvalId, detail: { command: 'npm test' }, state: 'pending' }]);

    expect((await outrigger.call(outrigger.people.ada, 'POST', path, { decision: 'once' })).status).toBe(200);
    expect((await outrigger.call(outrigger.people.ada, 'POST', path, { decision: 'once' })).status).toBe(200);
    expect((await outrigger.call(outrigger.people.ada, 'POST', path, { decision: 'reject' })).status).toBe(409);
    await eventually('the decision to reach the bridge', () =>
      Promise.resolve(bridge.commands.find((one) => one.type === 'decision')),
    );
    expect(bridge.commands).toMatchObject([{ type: 'decision', payload: { ask_id: 'per_1', decision: 'once' } }]);
    expect((await readTask(id)).state).toBe('running');
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    await finished(id);
    bridge.close();
    await bridge.closed;
  });

  it('stops a running task only with a receipt, and cancels one that never began', async () => {
    const bridge = await outrigger.bridge();
    const id = await submit();
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'session.opened', {});
    const second = await submit();

    const stopping = await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
    const canceled = await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${second}/stop`);

    expect(stopping.body.state).toBe('stopping');
    expect(canceled.body).toMatchObject({ state: 'finished', outcome: 'canceled' });
    await eventually('the stop to reach the bridge', () =>
      Promise.resolve(bridge.commands.find((one) => one.type === 'stop')),
    );
    const stop = {
      stopped_at: new Date().toISOString(),
      method: 'term' as const,
      processes_left: 0,
      tokens_after_stop: 0,
    };
    await bridge.request('result', { ...lease, evidence: goodEvidence({ stop }) });
    expect(await finished(id)).toMatchObject({ outcome: 'stopped', reason: 'UserStopped' });
    bridge.close();
    await bridge.closed;
  });

  it('S-11 a second registration replaces the first, and its attempt fails as retryable', async () => {
    const first = await outrigger.bridge();
    const id = await submit({ retry: { max: 2, backoff_seconds: 0 } });
    const lease = await takeLease(first);
    await first.event(lease, 1, 'session.opened', { session_id: 'ses_old' });

    const second = await startFakeBridge({
      url: outrigger.url,
      proof: await outrigger.proof(),
      workspaceId: outrigger.workspace.id,
      agentId: outrigger.workspace.agentId,
    });

    expect(await first.closed).toBe(4409);
    const next = await takeLease(second);
    expect(next).toMatchObject({ task_id: id, attempt: 2, session_id: 'ses_old', message_id: lease.message_id });
    await expect(second.event(lease, 2, 'message.text', {})).rejects.toThrow(/Attempt 1/);
    expect(await second.request('result', { ...lease, evidence: goodEvidence() })).toEqual({ accepted: false });
    expect((await second.request('heartbeat', { holding: [lease, next], status: '' })).fenced).toMatchObject([
      { attempt: 1 },
    ]);
    await second.request('result', { ...next, evidence: goodEvidence() });
    expect(await finished(id)).toMatchObject({ outcome: 'succeeded', attempt: 2 });
    second.close();
    await second.closed;
  });

  it('P-74 answers an unknown type with the literal words and the id, and refuses a frame of wrong types', async () => {
    const bridge = await outrigger.bridge();
    const id = randomUUID();

    expect(await bridge.raw(id, JSON.stringify({ id, type: 'deleteFile', payload: {} }))).toEqual({
      id,
      success: false,
      error: 'Unknown command type: deleteFile',
    });
    expect(await bridge.raw(id, JSON.stringify({ id, type: 'lease', payload: { slots: 'many' } }))).toMatchObject({
      id,
      success: false,
    });
    bridge.close();
    await bridge.closed;
  });
});

describe('S-37 C-21 the documented workflow', () => {
  it('is accepted unchanged, for the only running workspace of its submitter', async () => {
    const answer = await outrigger.call(outrigger.people.ada, 'POST', workflowsPath, workflowFixture);
    const { body } = await outrigger.call(outrigger.people.ada, 'GET', `${workflowsPath}/${answer.body.id}`);

    expect(answer.status).toBe(201);
    expect(body.steps).toMatchObject([
      { id: 'backend', agent: 'opencode', workspace_id: outrigger.workspace.id },
      { id: 'frontend', agent: 'opencode', depends_on: ['backend'] },
      { id: 'deploy', agent: 'kubernetes', task: 'apply_manifest', depends_on: ['backend', 'frontend'] },
    ]);
    const first = await eventually('its first step to be a task', async () => {
      const now = await outrigger.call(outrigger.people.ada, 'GET', `${workflowsPath}/${answer.body.id}`);
      return now.body.steps[0].task_id as string | null;
    });
    await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${first}/stop`);
    await finished(first);
  });

  it('takes params, a workspace, a time, retries and an approval in a step, and keeps to them', async () => {
    const { ada } = outrigger.people;
    const step = {
      ...(workflowFixture as { steps: object[] }).steps[0],
      params: { prompt: 'Add a health check' },
      workspace_id: 'ada/ws-123',
      timeout_seconds: 600,
      retry: { max: 2, backoff_seconds: 5 },
      approval: true,
    };
    const { status, body } = await outrigger.call(ada, 'POST', workflowsPath, { name: 'One step', steps: [step] });
    expect(status).toBe(201);

    const task = await eventually('its step to ask a person', async () => {
      const { body: workflow } = await outrigger.call(ada, 'GET', `${workflowsPath}/${body.id}`);
      const [{ task_id: id, state }] = workflow.steps;
      return state === 'blocked' && id ? (id as string) : undefined;
    });
    const { rows } = await outrigger.database.pool.query(
      'select prompt, timeout_ms::int, max_attempts, retry_delay_ms::int, workspace_id from task where id = $1',
      [task],
    );
    expect(rows).toEqual([
      {
        prompt: 'Add a health check',
        timeout_ms: 600_000,
        max_attempts: 2,
        retry_delay_ms: 5_000,
        workspace_id: outrigger.workspace.id,
      },
    ]);
    const bad = { ...step, retry: { max: 0 } };
    expect((await outrigger.call(ada, 'POST', workflowsPath, { name: 'Bad', steps: [bad] })).status).toBe(400);
    await outrigger.call(ada, 'POST', `${workflowsPath}/${body.id}/cancel`);
    await finished(task);
  });
});

describe('S-13 S-25 S-26 S-45 workflows', () => {
  it('runs steps after their dependencies, hands outputs on, and sums them up', async () => {
    const bridge = await outrigger.bridge();
    const step = (id: string, depends_on: string[], prompt: string) => ({
      id,
      agent: 'opencode',
      task: 'generate_code',
      depends_on,
      params: { prompt },
    });
    const answer = await outrigger.call(outrigger.people.ada, 'POST', workflowsPath, {
      name: 'Two steps',
      workspace_id: 'ada/ws-123',
      steps: [step('second', ['first'], 'Go on from: {{steps.first.output}}'), step('first', [], 'Begin')],
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`${workflowsPath}/${answer.body.id}`);

    const first = await takeLease(bridge);
    expect(first.prompt).toBe('Begin');
    await bridge.request('result', {
      ...first,
      evidence: goodEvidence({ last_message: { finish: 'stop', error: null, text: 'the API is there' } }),
    });
    const second = await takeLease(bridge);
    expect(second).toMatchObject({ prompt: 'Go on from: the API is there', base_commits: ['a'.repeat(40)] });
    expect(second.branch).toMatch(/^agent\/two-steps-[0-9a-f]{8}\/second$/);
    await bridge.request('result', {
      ...second,
      evidence: goodEvidence({ diff: { files: 0, additions: 0, deletions: 0 } }),
    });

    const workflow = await eventually('the workflow to finish', async () => {
      const { body } = await outrigger.call(outrigger.people.ada, 'GET', `${workflowsPath}/${answer.body.id}`);
      return body.state === 'finished' ? body : undefined;
    });
    expect(workflow.outcome).toBe('succeeded');
    expect(workflow.steps).toMatchObject([
      { id: 'second', outcome: 'no_change', attempts: 1 },
      { id: 'first', outcome: 'succeeded', attempts: 1 },
    ]);
    expect((await outrigger.call(outrigger.people.bob, 'GET', `${workflowsPath}/${answer.body.id}`)).status).toBe(404);
    bridge.close();
    await bridge.closed;
  });

  it('cancels what depends on a failed step and fails', async () => {
    const bridge = await outrigger.bridge();
    const step = (id: string, depends_on: string[]) => ({ id, agent: 'opencode', task: 'generate_code', depends_on });
    const { body } = await outrigger.call(outrigger.people.ada, 'POST', workflowsPath, {
      name: 'Fails',
      workspace_id: 'ws-123',
      steps: [step('a', []), step('b', ['a']), step('c', ['b'])],
    });
    const lease = await takeLease(bridge);
    await bridge.request('result', {
      ...lease,
      evidence: goodEvidence({ verify: { exit: 1, timed_out: false, output: '' } }),
    });

    const workflow = await eventually('the workflow to finish', async () => {
      const answer = await outrigger.call(outrigger.people.ada, 'GET', `${workflowsPath}/${body.id}`);
      return answer.body.state === 'finished' ? answer.body : undefined;
    });
    expect(workflow.outcome).toBe('failed');
    expect(workflow.steps.map((one: { outcome: string }) => one.outcome)).toEqual(['failed', 'canceled', 'canceled']);
    bridge.close();
    await bridge.closed;
  });
});

describe('nothing secret is logged or stored (part of P-79)', () => {
  it('no token, prompt or secret appears in any log line or audit row', async () => {
    const { rows } = await outrigger.database.pool.query<{ row: string }>(
      'select audit_event::text as row from audit_event',
    );
    const everything = outrigger.log() + rows.map((one) => one.row).join('\n');

    expect(rows.length).toBeGreaterThan(10);
    for (const secret of [...Object.values(outrigger.people).map((one) => one.token), 'Create a REST API endpoint'])
      expect(everything).not.toContain(secret);
    expect(everything).not.toMatch(/or[bts]_[A-Za-z0-9_-]{20}/);
  });
});
