import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Lease } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { script, startScriptedModel, type ScriptedModel } from '../support/model/scripted-model.ts';
import { startTestService, type Answer, type TestService } from '../support/service.ts';

const path = '/api/v2/agents/agentzero/compose';
const workflows = '/api/v2/agents/agentzero/workflows';

const step = (id: string, task: string, depends_on: string[], prompt: string) => ({
  id,
  agent: 'opencode',
  task,
  depends_on,
  prompt,
});
const greeting = {
  name: 'A greeting',
  explanation: 'An endpoint, then a page and tests that use it.',
  steps: [
    step('api', 'generate_api', [], 'Add GET /greeting.'),
    step('page', 'generate_ui', ['api'], 'Show the greeting. The API: {{steps.api.output}}'),
    step('tests', 'write_tests', ['api'], 'Test the API: {{steps.api.output}}'),
  ],
};
const says = (value: unknown) => ({ text: JSON.stringify(value) });
const cycle = {
  ...greeting,
  steps: [step('a', 'generate_api', ['b'], 'A'), step('b', 'generate_ui', ['a'], 'B')],
};
const plays = script([
  { match: /a greeting for visitors/, steps: [says(greeting)] },
  { match: /go in circles/, steps: [says(cycle), says({ ...greeting, name: 'Second try' })] },
  { match: /never learn/, steps: [says(cycle), says(cycle)] },
  {
    match: /an agent of your own/,
    steps: [says({ ...greeting, steps: [{ ...step('x', 'rm', [], 'x'), agent: 'shell' }] })],
  },
  { match: /speak in prose/, steps: [{ text: 'I would begin with the API.' }] },
  { match: /be unwell/, steps: [{ status: 500, message: 'canary-provider' }] },
  { match: /hang/, steps: [{ fault: 'hang' }] },
]);

let outrigger: TestService;
let bridge: FakeBridge;
let model: ScriptedModel;
beforeAll(async () => {
  model = await startScriptedModel({ plays, usage: { cost: 0.01 } });
  outrigger = await startTestService({
    MODEL_UPSTREAM_URL: model.url,
    OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4',
  });
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  await model.close();
});

const ada = (method: string, at: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> =>
  outrigger.call(outrigger.people.ada, method, at, body, headers);
const compose = (body: object, headers?: Record<string, string>) => ada('POST', path, body, headers);
const callModel = async ({ task_token: token }: Lease): Promise<void> => {
  const answer = await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }] }),
  });
  expect(answer.status).toBe(200);
};
const rowsOf = async (query: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await outrigger.database.pool.query<Record<string, unknown>>(query, values)).rows;

describe('composing a workflow', () => {
  it('S-13 S-41 turns a goal into steps that a person reads before anything runs', async () => {
    const before = await rowsOf('select id from workflow');
    const { status, body } = await compose({ goal: 'Make a greeting for visitors.' });

    expect(status).toBe(200);
    expect(body).toMatchObject({
      source: 'model',
      explanation: 'An endpoint, then a page and tests that use it.',
      warnings: [],
      graph: { levels: [['api'], ['page', 'tests']], critical_path: ['api', 'page'] },
      estimate: { cost_micro_usd: null, reason: expect.stringContaining('No task of opencode/generate_api') },
      approval_id: null,
      workflow_id: null,
    });
    expect(body.draft).toEqual({
      name: 'A greeting',
      workspace_id: outrigger.workspace.id,
      max_parallel: 10,
      steps: greeting.steps.map(({ prompt, ...one }) => ({ ...one, params: { prompt }, timeout_seconds: 7200 })),
    });
    expect(await rowsOf('select id from workflow')).toEqual(before);
    const planned = await ada('POST', `${workflows}?dry_run=true`, body.draft);
    expect([planned.status, planned.body.violations]).toEqual([200, []]);
  });

  it('S-13 S-27 S-81 runs a draft only after its owner approved it, and gives each step what the ones before it answered', async () => {
    const asked = await compose({ goal: 'Make a greeting for visitors.', execute: true });
    const { approval_id: approvalId, workflow_id: workflowId } = asked.body;
    expect(asked.status).toBe(202);
    expect(asked.headers.get('location')).toBe(`/api/v2/agents/approvals/${approvalId}`);
    expect((await ada('GET', `${workflows}/${workflowId}`)).status).toBe(404);
    const { body: waiting } = await ada('GET', '/api/v2/agents/approvals?state=pending');
    expect(waiting.items).toMatchObject([
      {
        id: approvalId,
        kind: 'workflow',
        task_id: null,
        workflow_id: workflowId,
        detail: { goal: 'Make a greeting for visitors.', source: 'model', workflow: asked.body.draft },
      },
    ]);

    const decide = () => ada('POST', `/api/v2/agents/approvals/${approvalId}/decision`, { decision: 'once' });
    const decided = await decide();
    const again = await decide();
    expect([decided.status, again.status]).toEqual([200, 200]);
    expect(decided.body).toMatchObject({ state: 'decided', decision: 'once', workflow_id: workflowId });

    const prompts = new Map<string, string>();
    for (const text of ['GET /greeting answers {"text"}', 'The page is there.', 'Three tests.']) {
      const lease: Lease = await takeLease(bridge);
      prompts.set(lease.branch.split('/').at(-1) ?? '', lease.prompt);
      await callModel(lease);
      const evidence = goodEvidence({ last_message: { finish: 'stop', error: null, text } });
      await bridge.request('result', { ...lease, evidence });
    }
    const workflow = await eventually('the workflow to end', async () => {
      const { body } = await ada('GET', `${workflows}/${workflowId}`);
      return body.state === 'finished' ? body : undefined;
    });

    expect(workflow.outcome).toBe('succeeded');
    expect(prompts.get('page')).toBe('Show the greeting. The API: GET /greeting answers {"text"}');
    expect(prompts.get('tests')).toBe('Test the API: GET /greeting answers {"text"}');
    expect(await rowsOf('select id from workflow where id = $1', workflowId)).toHaveLength(1);

    const dear = await compose({ goal: 'Make a greeting for visitors.', constraints: { max_cost_micro_usd: 29_999 } });
    expect(dear.body.estimate.cost_micro_usd).toEqual({ low: 30_000, likely: 30_000, high: 30_000 });
    expect(dear.body.warnings).toEqual(['It may cost up to 30000 micro-USD, and 29999 were the most.']);
  });

  it('starts nothing for a draft that its owner rejects, that somebody else decides, or that waited for a day', async () => {
    const drafts: { approval_id: string; workflow_id: string }[] = [];
    for (let count = 0; count < 3; count += 1)
      drafts.push((await compose({ goal: 'Make a greeting for visitors.', execute: true })).body);
    const decide = (index: number, decision: string, person = outrigger.people.ada) =>
      outrigger.call(person, 'POST', `/api/v2/agents/approvals/${drafts[index]?.approval_id}/decision`, { decision });

    expect((await decide(0, 'reject')).body).toMatchObject({ state: 'decided', decision: 'reject' });
    expect((await decide(1, 'once', outrigger.people.bob)).status).toBe(404);
    // An admin of Coder may use the workspace, but the workflow would run in the name of its owner.
    expect((await decide(1, 'once', outrigger.people.admin)).status).toBe(404);
    outrigger.clock.advance(25 * 3_600_000);
    expect((await decide(2, 'once')).body).toMatchObject({ status: 409, code: 'draft_expired' });
    for (const draft of drafts) expect((await ada('GET', `${workflows}/${draft.workflow_id}`)).status).toBe(404);
  });

  it('meters the calls of the model for whoever asked, within the bounds of what they may name', async () => {
    const { body } = await compose({ goal: 'Make a greeting for visitors.' });
    const calls = await rowsOf('select * from model_call where task_id = $1', body.id);
    const sent = model.requests.at(-1);

    expect(calls).toMatchObject([
      {
        owner_id: outrigger.people.ada.id,
        workspace_id: outrigger.workspace.id,
        model: 'scripted/test',
        status: 'succeeded',
      },
    ]);
    expect(Number(calls[0]?.['cost_micro_usd'])).toBe(10_000);
    expect(sent).toMatchObject({ model: 'scripted/test', stream: false });
    const tokens = await rowsOf('select revoked_at from task_token where task_id = $1', body.id);
    expect(tokens).toEqual([{ revoked_at: expect.any(Date) }]);
    const audited = await rowsOf(`select data from audit_event where target_id = $1`, body.id);
    expect(audited).toEqual([{ data: { source: 'model', steps: 3, execute: false } }]);
  });

  it('tells the model once why its draft is refused, and takes the next one', async () => {
    const { body } = await compose({ goal: 'Please go in circles.' });

    expect(body).toMatchObject({ source: 'model', warnings: [], draft: { name: 'Second try' } });
    expect(model.requests.at(-1)?.userTexts.at(-1)).toMatch(/^This draft was refused: .*a → b → a/);
  });

  it.each([
    ['a draft that is refused twice', 'never learn', /a → b → a/],
    ['an agent that nobody offered', 'use an agent of your own', /nothing offered is called shell\/rm/],
    ['prose', 'speak in prose', /did not answer in the form/],
    ['a provider that fails', 'be unwell', /The model provider failed/],
  ])('falls back to rules for %s, and says so', async (_title, goal, why) => {
    const { status, body } = await compose({ goal: `Please ${goal}, for the API.` });

    expect(status).toBe(200);
    expect(body).toMatchObject({ source: 'rules', warnings: [expect.stringMatching(why)] });
    expect(body.warnings[0]).toMatch(/^The draft was made by rules: /);
    expect(body.draft.steps.map(({ task }: { task: string }) => task)).toEqual([
      'generate_api',
      'write_tests',
      'review_code',
    ]);
    expect(JSON.stringify(body)).not.toContain('canary');
  });

  it('keeps to the constraints: agents, steps, time, model and money', async () => {
    const goal = 'Make a greeting for visitors.';
    const short = await compose({ goal, constraints: { max_steps: 2 } });
    const timed = await compose({ goal, constraints: { timeout_seconds: 3_600 } });
    const priced = await compose({ goal: 'Mend the failing tests.', constraints: { max_cost_micro_usd: 5 } });
    const [tight, agent, other, size, word] = await Promise.all([
      compose({ goal, constraints: { timeout_seconds: 15 } }),
      compose({ goal, agents: ['robot'] }),
      compose({ goal, constraints: { model: 'acme/none' } }),
      compose({ goal: 'x'.repeat(16 * 1024 + 1) }),
      compose({ goal, constraints: { workspace_id: 'nowhere' } }),
    ]);

    expect(short.body).toMatchObject({ source: 'rules', draft: { steps: [{}, {}] } });
    expect(short.body.draft.steps).toHaveLength(2);
    expect(timed.body.draft.steps.map((one: { timeout_seconds: number }) => one.timeout_seconds)).toEqual([
      1800, 1800, 1800,
    ]);
    expect(timed.body.warnings).toEqual([]);
    expect(priced.body.warnings.at(-1)).toMatch(/stays below 5 micro-USD is not known/);
    expect([tight.status, tight.body.code]).toEqual([422, 'draft_out_of_bounds']);
    expect([agent.status, agent.body.code]).toEqual([422, 'agent_unknown']);
    expect([other.status, other.body.code]).toEqual([422, 'model_not_allowed']);
    expect([size.status, size.body.code]).toEqual([400, 'invalid_request']);
    expect(word.status).toBe(404);
  });

  it('offers the model nothing that the caller may not do there', async () => {
    await compose({ goal: 'Make a greeting for visitors.' });
    const offered = model.requests.at(-1)?.systemText ?? '';

    expect(offered).toContain('opencode/generate_api');
    expect(offered).not.toContain('apply_manifest');
  });

  it('answers the same request with the same draft, and asks the model once', async () => {
    const headers = { 'Idempotency-Key': 'compose-1' };
    const before = model.requests.length;
    const first = await compose({ goal: 'Make a greeting for visitors.', execute: true }, headers);
    const second = await compose({ goal: 'Make a greeting for visitors.', execute: true }, headers);

    expect([first.status, second.status]).toEqual([202, 202]);
    expect(second.body).toEqual(first.body);
    expect(model.requests.length - before).toBe(1);
  });
});
