import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { showUsage } from '../../scripts/usage.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
let bridge: FakeBridge;
beforeAll(async () => {
  outrigger = await startTestService({
    OUTRIGGER_IDENTICAL_CALLS: '3',
    OUTRIGGER_MODEL: 'openai/gpt-4o',
    OUTRIGGER_MODELS: 'openai/gpt-4o,openai/gpt-4o-mini',
  });
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const model = (token: string, scenario: string, name = 'openai/gpt-4o'): Promise<{ status: number; text: string }> =>
  fetch(`${outrigger.url}/llm/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({
      ...{ model: name, stream: true },
      messages: [{ role: 'user', content: `SCENARIO:${scenario}` }],
      tools: [{ type: 'function', function: { name: 'bash', parameters: {} } }],
    }),
  }).then(async (answer) => ({ status: answer.status, text: await answer.text() }));

async function begin(rest: object = {}) {
  const payload = { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } };
  const { body } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
    ...{ type: 'opencode', payload },
    ...rest,
  });
  const lease = await takeLease(bridge);
  await bridge.event(lease, 1, 'session.opened', {});
  return { id: body.id as string, lease };
}
const task = async (id: string) =>
  (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}`)).body;
const stop = {
  stopped_at: new Date().toISOString(),
  method: 'abort' as const,
  processes_left: 0,
  tokens_after_stop: 0,
};
const audited = async (action: string): Promise<unknown[]> =>
  (await outrigger.database.pool.query('select data from outrigger.audit_event where action = $1', [action])).rows;

describe('D6 brakes on cost', () => {
  it('halt a looping agent within the set number of repeats, and by the proven stop', async () => {
    const { id, lease } = await begin();
    const before = outrigger.model.requests.length;

    const answers = [];
    for (let call = 0; call < 4; call++) answers.push(await model(lease.task_token, 'loop'));

    // The stop ended the token, so the next call is not even counted.
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 401]);
    expect(outrigger.model.requests).toHaveLength(before + 3);
    expect(await task(id)).toMatchObject({ state: 'stopping', reason: 'LoopDetected', outcome: null });
    await bridge.request('result', { ...lease, evidence: goodEvidence({ stop }) });
    await eventually('the task to finish', async () => (await task(id)).state === 'finished');
    expect(await task(id)).toMatchObject({
      ...{ outcome: 'stopped', reason: 'LoopDetected', usage: { calls: 3, tool_calls: 3 } },
      message: 'The agent made the same tool call 3 times in a row.',
    });
  });

  it('are set by an admin of the organization, tell at four fifths, and stop with proof what has used them up', async () => {
    const { admin, ada } = outrigger.people;
    const path = '/api/v2/agents/budgets';
    const body = { period: 'day', tool_calls: 5 };
    expect((await outrigger.call(ada, 'PUT', `${path}/user/${ada.id}`, body)).status).toBe(403);
    const written = await outrigger.call(admin, 'PUT', `${path}/user/${ada.id}`, body);
    expect(written).toMatchObject({ status: 200, body: { ...body, spent: { tool_calls: 3 } } });
    const { id, lease } = await begin();

    expect((await model(lease.task_token, 'bash ARG:echo 1')).status).toBe(200);
    const events = await outrigger.database.pool.query(
      `select data from outrigger.task_event where task_id = $1 and type = 'task.budget_warning'`,
      [id],
    );
    expect(events.rows).toMatchObject([{ data: { scope: 'user', kind: 'tool_calls', at_most: 5 } }]);
    expect(await audited('budget.nearly_spent')).toMatchObject([{ data: { spent: 4, at_most: 5, period: 'day' } }]);
    expect((await model(lease.task_token, 'bash ARG:echo 2')).status).toBe(200);
    expect((await model(lease.task_token, 'bash ARG:echo 3')).text).toContain('BudgetExceeded');

    expect(await task(id)).toMatchObject({ state: 'stopping', reason: 'BudgetExceeded' });
    await bridge.request('result', { ...lease, evidence: goodEvidence({ stop }) });
    await eventually('the task to finish', async () => (await task(id)).state === 'finished');
    expect(await task(id)).toMatchObject({
      ...{ outcome: 'stopped', reason: 'BudgetExceeded' },
      message: 'The budget of its owner of this day is used up (tool calls).',
    });
    expect((await outrigger.call(ada, 'GET', path)).body.items).toMatchObject([
      { scope: 'user', spent: { tool_calls: 5 } },
    ]);
    expect((await outrigger.call(admin, 'DELETE', `${path}/user/${ada.id}`)).status).toBe(204);
  });

  it('come with a task as well, beside its fallback models, and are refused where a model is not offered', async () => {
    const limits = { budget_tokens: 500, budget_tool_calls: 9, fallback_models: ['openai/gpt-4o-mini'] };
    const payload = { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } };
    const refused = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      ...{ type: 'opencode', payload, fallback_models: ['vendor/unlisted'] },
    });
    const { id, lease } = await begin(limits);

    expect(refused.status).toBe(422);
    expect(refused.body.detail).toContain('openai/gpt-4o-mini');
    expect(await task(id)).toMatchObject(limits);
    expect((await model(lease.task_token, 'text')).status).toBe(200);
    expect((await model(lease.task_token, 'text')).text).toContain('BudgetExceeded');
    await bridge.request('result', { ...lease, evidence: goodEvidence({ stop }) });
    await eventually('the task to finish', async () => (await task(id)).outcome === 'stopped');
  });

  it.each([
    ['user/ada', { tokens: 1 }, 404],
    ['team/*', { tokens: 1 }, 400],
    ['organization/*', {}, 400],
    ['organization/*', { tokens: 0 }, 400],
    ['task/*', { tokens: 1, period: 'day' }, 400],
  ])('are refused for %s with %j', async (target, body, status) => {
    const answer = await outrigger.call(outrigger.people.admin, 'PUT', `/api/v2/agents/budgets/${target}`, body);

    expect(answer.status).toBe(status);
  });
});

describe('P-54 usage', () => {
  type Sums = Record<string, number> & { key: string };
  const usage = async (person: Person, query: string) =>
    (await outrigger.call(person, 'GET', `/api/v2/agents/usage?${query}`)).body as unknown as {
      items: Sums[];
      total: Sums;
      next_cursor: string | null;
    };

  it('is counted per task, user and model, and the sum over tasks is the gateway’s total', async () => {
    const { admin, ada } = outrigger.people;
    const { lease } = await begin();
    await model(lease.task_token, 'text');
    await model(lease.task_token, 'text', 'openai/gpt-4o-mini');
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    const { rows } = await outrigger.database.pool.query<Record<string, number>>(
      `select count(*)::bigint as calls, sum(cost_micro_usd)::bigint as cost_micro_usd,
              sum(input_tokens)::bigint as input_tokens, sum(cached_tokens)::bigint as cached_tokens,
              sum(output_tokens)::bigint as output_tokens, sum(reasoning_tokens)::bigint as reasoning_tokens
       from outrigger.model_call`,
    );
    const [ledger] = rows;
    const add = (items: readonly Sums[], name: string): number => items.reduce((sum, one) => sum + (one[name] ?? 0), 0);

    for (const by of ['task', 'user', 'model', 'organization', 'workspace']) {
      const items: Sums[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const more = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
        const page = await usage(admin, `scope=organization&limit=1&by=${by}${more}`);
        items.push(...page.items);
        expect(page.total).toMatchObject(ledger ?? {});
        cursor = page.next_cursor;
      }
      for (const name of Object.keys(ledger ?? {})) expect(add(items, name)).toBe(ledger?.[name]);
    }
    expect((await usage(ada, 'by=user')).items).toMatchObject([{ key: ada.id }]);
    expect((await usage(outrigger.people.bob, 'by=task')).items).toEqual([]);
    expect((await outrigger.call(ada, 'GET', '/api/v2/agents/usage?scope=organization')).status).toBe(403);
  });
});

describe('outrigger usage (part of P-54)', () => {
  it('prints what was used, and the total', async () => {
    const printed: string[] = [];
    const { ada } = outrigger.people;
    const coder = { isConfigured: true, url: outrigger.coder.url, sessionToken: ada.token, timeoutSeconds: 30 };
    const around = {
      print: (line: string) => printed.push(line),
      config: { coder, listen: { host: '127.0.0.1', port: 1 } },
    };
    await showUsage({ by: 'model', service: outrigger.url, output: 'table' }, around as never);

    expect(printed.join('\n')).toMatch(/openai\/gpt-4o-mini[\s\S]*total/);
  });
});
