import { afterEach, describe, expect, it } from '@jest/globals';
import type { TaskIdentity } from '../../service/gateway/gateway.ts';
import { startGateway, until, type GatewayHarness, type HarnessOptions } from './gateway-harness.ts';

let harness: GatewayHarness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});
const start = async (options: HarnessOptions = {}): Promise<GatewayHarness> => (harness = await startGateway(options));

const asks = (prompt: string, more: object = {}): string =>
  JSON.stringify({
    messages: [{ role: 'user', content: prompt }],
    response_format: { type: 'json_object' },
    ...more,
  });
const patience = (): AbortSignal => AbortSignal.timeout(20_000);

describe('a model call of the service itself', () => {
  it('is answered whole and metered like one of a task, and the key is not in the answer', async () => {
    const { gateway, newTask, rows, model } = await start();
    const { identity } = await newTask();
    const answer = await gateway.complete(identity, asks('SCENARIO:text', { plugins: ['web'] }), patience());

    expect(JSON.parse(answer)).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    expect(await rows()).toMatchObject([{ task_id: identity.taskId, status: 'succeeded', input_tokens: 800 }]);
    expect(model.requests.at(-1)?.authorization).toMatch(/^Bearer sk-canary/);
    expect(answer).not.toContain('sk-canary');
  });

  it('ends, and is metered, when whoever asked gives up', async () => {
    const { gateway, newTask, rows, model } = await start();
    const { identity } = await newTask();
    const giveUp = new AbortController();
    const asked = gateway.complete(identity, asks('SCENARIO:hang'), giveUp.signal);
    const told = asked.catch((error: unknown) => error);
    await until(() => model.requests.length === 1);
    expect(gateway.openCalls(identity.taskId)).toBe(1);
    giveUp.abort();
    expect(await told).toMatchObject({ code: 'task_stopped' });

    expect(await rows()).toMatchObject([{ status: 'stopped', cost_source: 'unknown' }]);
    expect(gateway.openCalls(identity.taskId)).toBe(0);
  });

  it.each([
    [
      'without a live token',
      async ({ gateway, database }: GatewayHarness, taskId: string) =>
        database.transaction((tx) => gateway.revokeTaskTokens(tx, taskId)),
      {},
      'token_ended',
    ],
    ['for a model that is not offered', () => Promise.resolve(), { model: 'acme/none' }, 'model_not_allowed'],
    ['as a stream', () => Promise.resolve(), { stream: true }, 'invalid_request'],
  ] as const)('is not made %s', async (_title, prepare, more, code) => {
    const one = await start();
    const { identity } = await one.newTask();
    await prepare(one, identity.taskId);

    await expect(one.gateway.complete(identity, asks('x', more), patience())).rejects.toMatchObject({ code });
    expect(one.model.requests).toHaveLength(0);
  });
});

describe('whether there is a model', () => {
  const has = async (upstreamUrl: string, providerKey: string | null, apiKey: string | null): Promise<boolean> => {
    const one = await start({ upstreamUrl, providerKey: () => Promise.resolve(providerKey), apiKey });
    const answer = await one.gateway.hasModel({} as TaskIdentity);
    await one.close();
    harness = undefined;
    return answer;
  };

  it('follows from the upstream: one that wants a key needs one, of the service or of the organization', async () => {
    const open = 'https://openrouter.ai/api/v1';

    expect(await has(open, null, null)).toBe(false);
    expect(await has(open, 'sk-own', null)).toBe(true);
    expect(await has(open, null, 'sk-service')).toBe(true);
    expect(await has('http://127.0.0.1:9/v1', null, null)).toBe(true);
  });
});
