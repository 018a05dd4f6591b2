import { afterEach, describe, expect, it } from '@jest/globals';
import type { AuditEntry } from '../../service/audit/audit-event.ts';
import type { UpstreamFetch } from '../../service/gateway/upstream.ts';
import { startGateway, type GatewayHarness, type HarnessOptions } from './gateway-harness.ts';

let harness: GatewayHarness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

const good = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
const answers = (status: number): Response =>
  status === 200
    ? new Response(good, { headers: { 'content-type': 'text/event-stream' } })
    : new Response('{}', { status, headers: { 'content-type': 'application/json' } });

/** An upstream whose models each answer with these statuses, one after the other, and then with the last for ever. */
async function startWith(statuses: Readonly<Record<string, readonly number[]>>, options: HarnessOptions = {}) {
  const asked: string[] = [];
  const hosts = new Set<string>();
  const audit: AuditEntry[] = [];
  const fetch = ((url: string, init: { body: string }) => {
    hosts.add(new URL(url).host);
    const { model } = JSON.parse(init.body) as { model: string };
    const earlier = asked.filter((one) => one === model).length;
    asked.push(model);
    const list = statuses[model] ?? [404];
    const status = list[Math.min(earlier, list.length - 1)] ?? 404;
    return status === 0 ? Promise.reject(new Error('no route')) : Promise.resolve(answers(status));
  }) as unknown as UpstreamFetch;
  harness = await startGateway({
    ...{ fetch, allowedModels: ['scripted/model', 'b', 'c'], upstreamUrl: 'https://openrouter.ai' },
    audit: { append: (_tx: unknown, entry: AuditEntry) => Promise.resolve(void audit.push(entry)) } as never,
    ...options,
  });
  const { token } = await harness.newTask('scripted/model');
  const { ask, rows } = harness;
  const call = async (more: Record<string, unknown> = {}) => {
    const answer = await ask(token, 'hello', more);
    return { status: answer.status, text: await answer.text() };
  };
  return { call, asked, audit, rows, hosts, gateway: harness.gateway };
}

describe('an upstream that fails (part of S-116)', () => {
  it.each([429, 500, 0])('with %i is asked once more, and its second answer is taken', async (status) => {
    const { call, asked } = await startWith({ 'scripted/model': [status, 200] });

    expect((await call()).status).toBe(200);
    expect(asked).toHaveLength(2);
  });

  it.each([400, 401, 404])('with %i is not asked again', async (status) => {
    const { call, asked } = await startWith({ 'scripted/model': [status, 200] });

    expect((await call()).status).toBeGreaterThanOrEqual(400);
    expect(asked).toHaveLength(1);
  });

  it('is left alone for a while after five failures in a row', async () => {
    const { call, asked, gateway } = await startWith({ 'scripted/model': [503] });
    for (let one = 0; one < 4; one++) await call();

    const { status, text } = await call();

    expect(asked).toHaveLength(5);
    expect([status, text.includes('upstream_open')]).toEqual([424, true]);
    expect(gateway.isUpstreamOpen()).toBe(true);
  });
});

describe('a model whose provider fails', () => {
  it('closes its own door and that of no other model', async () => {
    const { call, asked } = await startWith({ 'scripted/model': [503], b: [200] });
    for (let one = 0; one < 4; one++) await call();

    expect((await call({ model: 'b' })).status).toBe(200);
    expect(asked.at(-1)).toBe('b');
  });
});

describe('P-53 fallback models', () => {
  it('stand in, in their order, when the model’s provider fails; the switch is audited and the call is metered as theirs', async () => {
    const { call, asked, audit, rows } = await startWith(
      { 'scripted/model': [503], b: [404], c: [200] },
      { fallbackModels: ['b', 'c'] },
    );

    expect((await call()).status).toBe(200);
    expect(asked).toEqual(['scripted/model', 'scripted/model', 'b', 'c']);
    expect(audit.filter(({ action }) => action === 'model.switched').map(({ data }) => data)).toMatchObject([
      { from: 'scripted/model', to: 'b', reason: 'upstream_failed' },
      { from: 'b', to: 'c', reason: 'upstream_no_model' },
    ]);
    expect(await rows()).toMatchObject([{ model: 'c', status: 'succeeded' }]);
  });

  it('are left out where they are not offered, and do not help against a request that is wrong', async () => {
    const { call, asked } = await startWith(
      { 'scripted/model': [400], b: [200] },
      { fallbackModels: ['unlisted', 'b'] },
    );

    expect((await call()).status).toBe(400);
    expect(asked).toEqual(['scripted/model']);
  });
});

describe('P-49 local-only', () => {
  it.each(['https://openrouter.ai/api/v1', 'http://8.8.8.8:11434'])('dials nothing of %s', async (upstreamUrl) => {
    const looked: string[] = [];
    harness = await startGateway({
      upstreamUrl,
      isLocalOnly: true,
      resolve: (host, done) => {
        looked.push(host);
        done(null, [{ address: '104.18.2.115', family: 4 }]);
      },
    });
    const { token } = await harness.newTask();

    const answer = await harness.ask(token, 'hello');

    expect(answer.status).toBe(424);
    expect(await answer.text()).toContain('upstream_unreachable');
    expect(looked.every((host) => host === 'openrouter.ai')).toBe(true);
    expect(harness.log()).toContain('ERR_LOCAL_ONLY');
  });

  it('reaches an Ollama by its name, at its compatible interface, and nothing else', async () => {
    const model = await startGateway();
    const { port } = new URL(model.model.url);
    const looked: string[] = [];
    harness = await startGateway({
      upstreamUrl: `http://ollama:${port}`,
      isLocalOnly: true,
      apiKey: null,
      resolve: (host, done) => {
        looked.push(host);
        done(null, [{ address: '127.0.0.1', family: 4 }]);
      },
    });
    const { token } = await harness.newTask();

    const answer = await harness.ask(token, 'SCENARIO:text ARG:from-here');

    expect(await answer.text()).toContain('from-here');
    expect(new Set(looked)).toEqual(new Set(['ollama']));
    await model.close();
  });
});
