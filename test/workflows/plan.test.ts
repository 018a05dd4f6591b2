import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { shapeOf } from '../../service/workflows/plan.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startScriptedModel, type ScriptedModel } from '../support/model/scripted-model.ts';
import { startTestService, type TestService } from '../support/service.ts';

const workflows = '/api/v2/agents/agentzero/workflows';
const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'agentzero', 'workflow.request.json'), 'utf8'),
) as { name: string; steps: { id: string }[] };

let outrigger: TestService;
let bridge: FakeBridge;
let model: ScriptedModel;
beforeAll(async () => {
  model = await startScriptedModel({ usage: { cost: 0.25 } });
  outrigger = await startTestService({
    MODEL_UPSTREAM_URL: model.url,
    OUTRIGGER_MODELS: 'scripted/test,scripted/other',
    OPENROUTER_API_KEY: 'canary-model-key',
    OUTRIGGER_APPROVAL_ABOVE_MICRO_USD: '400000',
  });
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  await model.close();
});

const post = (path: string, body: unknown) => outrigger.call(outrigger.people.ada, 'POST', path, body);
const plan = (body: object) => post(`${workflows}?dry_run=true`, body);
const count = async (table: string): Promise<number> => {
  const { rows } = await outrigger.database.pool.query<{ count: string }>(`select count(*) from ${table}`);
  return Number(rows[0]?.count);
};

/** Runs a task to its end, with `calls` model calls of 0.25 USD each. */
async function finishTask(action: string, calls: number): Promise<void> {
  const { body: task } = await post('/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action, prompt: 'x', context: { workspace_id: 'ws-123' } },
  });
  const lease = await takeLease(bridge);
  for (let call = 0; call < calls; call += 1) {
    const answer = await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${lease.task_token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }] }),
    });
    expect(answer.status).toBe(200);
  }
  await bridge.request('result', { ...lease, evidence: goodEvidence() });
  await eventually('the task to end', async () => {
    const { body } = await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${task.id}`);
    return body.state === 'finished';
  });
}

describe('the plan of a workflow', () => {
  it('D19 says what the workflow of the fixture would do, start, touch and cost, the same each time, and stores nothing', async () => {
    const parameters = { git_repository: 'https://git.example.com/team/project.git' };
    const stopped = outrigger.coder.addWorkspace({ owner: 'ada', name: 'asleep', running: false, parameters });
    const admin = outrigger.people.admin;
    await outrigger.call(admin, 'PUT', '/api/v2/agents/secrets/cluster', { kubeconfig: 'canary-kubeconfig' });
    const entry = {
      apiVersion: 'kubeopencode.io/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'kubernetes' },
      spec: {
        credentials: [
          { name: 'lab', env: 'KUBECONFIG', secretRef: { name: 'cluster', key: 'kubeconfig' } },
          { name: 'forge', env: 'FORGE', host: 'git.example.com', secretRef: { name: 'cluster', key: 'forge' } },
          { name: 'other', env: 'OTHER', host: 'other.example.com', secretRef: { name: 'cluster', key: 'forge' } },
        ],
      },
    };
    const put = await outrigger.call(admin, 'PUT', '/api/v2/agents/registry/kubernetes', entry);
    expect(put.status).toBe(200);
    await finishTask('generate_api', 1);
    const before = [await count('task'), await count('workflow'), await count('audit_event')];

    const body = {
      ...fixture,
      steps: fixture.steps.map((step) => ({ ...step, workspace_id: step.id === 'frontend' ? 'asleep' : 'ws-123' })),
    };
    const first = await plan(body);
    const second = await plan(body);

    expect(first.status).toBe(200);
    expect(second.body).toEqual(first.body);
    expect(first.body.graph).toEqual({
      levels: [['backend'], ['frontend'], ['deploy']],
      critical_path: ['backend', 'frontend', 'deploy'],
      max_parallel: 10,
    });
    expect(first.body.agents).toEqual([
      { name: 'opencode', runs_in: 'workspace', actions: ['generate_api', 'generate_ui'], steps: 2 },
      { name: 'kubernetes', runs_in: 'service', actions: ['apply_manifest'], steps: 1 },
    ]);
    expect(first.body.workspaces).toEqual([
      {
        id: outrigger.workspace.id,
        name: 'ws-123',
        build_status: 'running',
        start: 'running',
        message: null,
        steps: ['backend', 'deploy'],
      },
      { id: stopped.id, name: 'asleep', build_status: 'stopped', start: 'start', message: null, steps: ['frontend'] },
    ]);
    expect(first.body.secrets).toEqual([
      { use: 'agent', agent: 'kubernetes', credential: 'lab', env: 'KUBECONFIG', host: null },
      { use: 'model', agent: null, credential: null, env: 'OPENROUTER_API_KEY', host: null },
      { use: 'git', agent: 'kubernetes', credential: 'forge', env: 'FORGE', host: 'git.example.com' },
    ]);
    expect(first.body.estimate).toEqual({
      tokens: null,
      cost_micro_usd: null,
      reason: 'frontend: No task of opencode/generate_ui with model scripted/test has finished here yet.',
    });
    expect(first.body.steps[0].estimate).toEqual({
      tasks: 1,
      tokens: { low: 1050, likely: 1050, high: 1050 },
      cost_micro_usd: { low: 250_000, likely: 250_000, high: 250_000 },
      reason: null,
    });
    expect(first.body.violations).toEqual([]);
    expect(JSON.stringify(first.body)).not.toContain('canary');
    expect([await count('task'), await count('workflow')]).toEqual(before.slice(0, 2));
    const { rows } = await outrigger.database.pool.query<{ action: string }>(
      `select action from audit_event where action like 'workflow%'`,
    );
    expect(rows).toEqual([]);
  });

  it('estimates from what such work used here, and asks its owner to agree above the threshold', async () => {
    for (const calls of [1, 1, 2, 3]) await finishTask('write_tests', calls);
    const body = {
      name: 'w',
      workspace_id: 'ws-123',
      steps: [{ id: 'tests', agent: 'opencode', task: 'write_tests' }],
    };
    const planned = await plan(body);
    const refused = await post(workflows, body);
    const tooLittle = await post(workflows, { ...body, approved_cost_micro_usd: 749_999 });
    const agreed = await post(workflows, { ...body, approved_cost_micro_usd: 750_000 });
    const agreedPlan = await plan({ ...body, approved_cost_micro_usd: 750_000 });

    expect(planned.body.estimate).toEqual({
      tokens: { low: 1050, likely: 1050, high: 3150 },
      cost_micro_usd: { low: 250_000, likely: 250_000, high: 750_000 },
      reason: null,
    });
    expect(planned.body.approval).toEqual({ above_micro_usd: 400_000, required: true });
    expect(planned.body.violations).toMatchObject([{ step_id: null, code: 'cost_not_approved' }]);
    expect([refused.status, refused.body.code]).toEqual([422, 'cost_not_approved']);
    expect([tooLittle.status, tooLittle.body.code]).toEqual([422, 'cost_not_approved']);
    expect(agreed.status).toBe(201);
    expect(agreedPlan.body).toMatchObject({ approval: { required: false }, violations: [] });
    const one = `${workflows}/${agreed.body.id}`;
    await post(`${one}/cancel`, {});
    await eventually('the workflow to end', async () => {
      const { body: workflow } = await outrigger.call(outrigger.people.ada, 'GET', one);
      return workflow.state === 'finished';
    });
    const again = await post(`${one}/retry`, { from: 'tests' });
    const agreedAgain = await post(`${one}/retry`, { from: 'tests', approved_cost_micro_usd: 750_000 });

    expect([again.status, again.body.code]).toEqual([422, 'cost_not_approved']);
    expect(agreedAgain.status).toBe(202);
    await post(`${one}/cancel`, {});
  });

  it('takes a step that runs a workflow of its own for no known cost, not for none', async () => {
    const nested = { name: 'inner', steps: [{ id: 'a', agent: 'opencode', task: 'generate_api' }] };
    const { body } = await plan({
      name: 'w',
      workspace_id: 'ws-123',
      steps: [{ id: 'inner', agent: 'agentzero', task: 'run_workflow', params: nested }],
    });

    expect(body.violations).toEqual([]);
    expect(body.estimate).toEqual({
      tokens: null,
      cost_micro_usd: null,
      reason: 'inner: It runs a workflow of its own, which has a plan of its own.',
    });
  });

  it('lists everything that is not allowed, not only the first', async () => {
    const step = (id: string, more: object) => ({ id, agent: 'opencode', task: 'generate_code', ...more });
    const { status, body } = await plan({
      name: 'w',
      workspace_id: 'ws-123',
      steps: [
        step('robot', { agent: 'robot' }),
        step('action', { task: 'dance' }),
        step('model', { model: 'acme/none' }),
        step('profile', { profile: 'trusted' }),
        step('place', { workspace_id: 'nowhere' }),
        step('good', { depends_on: ['model'] }),
      ],
    });

    expect(status).toBe(200);
    expect(body.violations.map((one: { step_id: string; code: string }) => [one.step_id, one.code])).toEqual([
      ['robot', 'agent_unknown'],
      ['action', 'action_unknown'],
      ['model', 'model_not_allowed'],
      ['profile', 'profile_not_allowed'],
      ['place', 'not_found'],
    ]);
    expect(body.steps.map(({ id }: { id: string }) => id)).toEqual(['good']);
    expect(body.estimate).toMatchObject({
      cost_micro_usd: null,
      reason: expect.stringMatching(/^Some steps may not run/),
    });
  });

  it.each([
    [
      'a cycle',
      [
        { id: 'a', depends_on: ['b'] },
        { id: 'b', depends_on: ['a'] },
      ],
      'workflow_has_cycle',
    ],
    ['an unknown dependency', [{ id: 'a', depends_on: ['x'] }], 'dependency_unknown'],
    [
      'an output that is not there yet',
      [{ id: 'a', params: { prompt: '{{steps.b.output}}' } }, { id: 'b' }],
      'output_not_ready',
    ],
  ])('answers 400 for %s, as a submission does', async (_title, steps, code) => {
    const whole = steps.map((step) => ({ agent: 'opencode', task: 'generate_code', ...step }));
    const answer = await plan({ name: 'w', workspace_id: 'ws-123', steps: whole });

    expect([answer.status, answer.body.code]).toEqual([400, code]);
  });

  it('starts nothing for a word that is neither true nor false', async () => {
    const before = await count('workflow');
    const answer = await post(`${workflows}?dry_run=yes`, { ...fixture, workspace_id: 'ws-123' });

    expect(answer.status).toBe(400);
    expect(await count('workflow')).toBe(before);
  });

  it('shows each person only what they may use', async () => {
    const body = { ...fixture, workspace_id: outrigger.workspace.id };
    const answer = await outrigger.call(outrigger.people.bob, 'POST', `${workflows}?dry_run=true`, body);

    expect(answer.body.violations.map(({ code }: { code: string }) => code)).toEqual(Array(3).fill('not_found'));
    expect(answer.body).toMatchObject({ workspaces: [], secrets: [], steps: [] });
  });
});

describe('the shape of a graph', () => {
  it('has a level for each number of steps that must end before, and its longest chain', () => {
    const step = (id: string, ...dependsOn: string[]) => ({ id, dependsOn });

    expect(shapeOf([step('d', 'b', 'c'), step('b', 'a'), step('a'), step('c'), step('e')])).toEqual({
      levels: [['a', 'c', 'e'], ['b'], ['d']],
      critical_path: ['a', 'b', 'd'],
    });
  });
});
