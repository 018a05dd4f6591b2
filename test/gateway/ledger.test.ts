import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { reserve } from '../../service/gateway/reservation.ts';
import { usageTotal } from '../../service/gateway/usage-store.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import {
  startCountingProvider,
  ways,
  type CountingProvider,
  type Figures,
  type Mishap,
  type Way,
} from './counting-provider.ts';
import { startGateway, until, type GatewayHarness } from './gateway-harness.ts';

const dear = { input: 3_000_000, cached: 300_000, output: 15_000_000, reasoning: 15_000_000 };
const prices = { taken: '2026-11-21', models: new Map([['scripted/model', dear]]) };

let provider: CountingProvider;
let harness: GatewayHarness;
beforeAll(async () => {
  provider = await startCountingProvider();
  harness = await startGateway({
    upstreamUrl: 'https://openrouter.ai',
    fetch: provider.fetch,
    prices,
    timeoutMs: 60_000,
    brakes: { callsPerMinute: 0 },
  });
});
afterAll(async () => {
  await harness.close();
  await provider.close();
});

const figures: fc.Arbitrary<Figures> = fc
  .record({
    prompt: fc.integer({ min: 1, max: 200_000 }),
    cachedShare: fc.integer({ min: 0, max: 100 }),
    completion: fc.integer({ min: 1, max: 30_000 }),
    reasoningShare: fc.integer({ min: 0, max: 100 }),
    costMicroUsd: fc.integer({ min: 0, max: 5_000_000 }),
  })
  .map(({ prompt, cachedShare, completion, reasoningShare, costMicroUsd }) => ({
    ...{ prompt, completion, costMicroUsd },
    cached: Math.floor((prompt * cachedShare) / 100),
    reasoning: Math.floor((completion * reasoningShare) / 100),
  }));

/** One call that goes as it is told; its row. */
async function call(way: Way, mishap: Mishap, counted: Figures): Promise<Record<string, unknown>> {
  const { identity, token } = await harness.newTask();
  provider.next({ way, mishap, figures: counted });
  const gone = new AbortController();
  // As many bytes as tokens at least, as in every true request.
  const more = { stream: mishap !== 'whole', max_tokens: 30_000 };
  const answer = await harness.ask(token, 'x'.repeat(counted.prompt), more, gone.signal);
  if (mishap === 'aborted') gone.abort();
  else await answer.text();
  await until(() => harness.gateway.openCalls(identity.taskId) === 0, 120_000);
  const row = (await harness.rows()).find((one) => one['task_id'] === identity.taskId);
  if (row === undefined) throw new Error('the call has no row');
  return row;
}

const sumOf = (row: Record<string, unknown>, ...names: string[]): number =>
  names.reduce((sum, name) => sum + Number(row[`${name}_tokens`]), 0);

const reported: readonly Mishap[] = ['none', 'whole', 'retried', 'withFinish'];
const broken: readonly Mishap[] = ['cutBeforeUsage', 'cutMid', 'reportedMid', 'aborted'];
const cases = (mishaps: readonly Mishap[]) =>
  (Object.keys(ways) as Way[]).flatMap((way) => mishaps.map((mishap) => [way, mishap] as const));

describe('the ledger equals the figures of the provider (part of P-54)', () => {
  it.each(cases(reported))('to the token for %s, with %s', async (way, mishap) => {
    await fc.assert(
      fc.asyncProperty(figures, async (counted) => {
        const row = await call(way, mishap, counted);

        expect(sumOf(row, 'input', 'cached')).toBe(counted.prompt);
        expect(sumOf(row, 'output', 'reasoning')).toBe(counted.completion);
        if (way === 'openrouter' || way === 'openai')
          expect([sumOf(row, 'cached'), sumOf(row, 'reasoning')]).toEqual([counted.cached, counted.reasoning]);
        if (way === 'beside') expect(sumOf(row, 'reasoning')).toBe(counted.reasoning);
        expect(row).toMatchObject({ is_estimate: false, status: 'succeeded' });
        if (way === 'openrouter')
          expect(row).toMatchObject({ cost_source: 'provider', cost_micro_usd: counted.costMicroUsd });
        else expect(row['cost_source']).toBe('prices');
      }),
      { numRuns: 3 },
    );
  });

  it.each(cases(broken))('or lies above them and says so until the provider tells, for %s, %s', async (way, mishap) => {
    await fc.assert(
      fc.asyncProperty(figures, async (counted) => {
        const before = await call(way, mishap, counted);

        expect(before).toMatchObject({ is_estimate: true, cost_source: 'estimate' });
        expect(sumOf(before, 'input', 'cached')).toBeGreaterThanOrEqual(counted.prompt);
        expect(sumOf(before, 'output', 'reasoning')).toBeGreaterThanOrEqual(counted.completion);

        harness.clock.advance(10_000);
        await harness.gateway.tidy();
        const after = (await harness.rows()).find((one) => one['id'] === before['id']) ?? {};
        expect(after).toMatchObject({
          is_estimate: false,
          input_tokens: counted.prompt - counted.cached,
          cached_tokens: counted.cached,
          output_tokens: counted.completion - counted.reasoning,
          reasoning_tokens: counted.reasoning,
          cost_micro_usd: counted.costMicroUsd,
          cost_source: 'provider',
        });
      }),
      { numRuns: 2 },
    );
  });

  it('is summed to the same total by task as over all', async () => {
    const rows = await harness.rows();
    const total = await usageTotal(harness.database.as(), {});

    expect(total).toMatchObject({
      calls: rows.length,
      input_tokens: rows.reduce((sum, row) => sum + sumOf(row, 'input'), 0),
      cost_micro_usd: rows.reduce((sum, row) => sum + Number(row['cost_micro_usd']), 0),
      estimated_calls: 0,
    });
    expect(new Set(provider.hosts)).toEqual(new Set(['openrouter.ai']));
  });
});

describe('what is held for a call (part of P-54)', () => {
  it('is what the dearest of the models that may answer it can cost', () => {
    const cheap = { input: 1, cached: 1, output: 1, reasoning: 1 };
    const models = new Map([...prices.models, ['scripted/cheap', cheap] as const]);
    const held = (...names: string[]) => reserve({ ...prices, models }, names, 1_000, 100);

    expect(held('scripted/cheap', 'scripted/model', 'scripted/unknown').microUsd).toBe(4_500);
    expect(held('scripted/unknown').microUsd).toBeNull();
  });
});

describe('a call for which there is no key (part of P-54)', () => {
  it('costs nothing, because nobody was asked', async () => {
    const unusable = new ServiceError('unavailable', 'provider_key_unusable', 'The key cannot be used.');
    const without = await startGateway({ prices, providerKey: () => Promise.reject(unusable) });
    const { token } = await without.newTask();
    const text = await (await without.ask(token, 'hello')).text();
    const rows = await without.rows();
    await without.close();

    expect(text).toContain('The key cannot be used.');
    expect(rows).toMatchObject([
      { status: 'failed', input_tokens: 0, output_tokens: 0, cost_micro_usd: 0, cost_source: 'none' },
    ]);
  });
});

describe('a call of a process that was killed (part of P-54)', () => {
  it('counts as the most it can have used', async () => {
    const { identity, token } = await harness.newTask();
    provider.next({
      way: 'openai',
      mishap: 'aborted',
      figures: { prompt: 9, cached: 0, completion: 9, reasoning: 0, costMicroUsd: 1 },
    });
    const gone = new AbortController();
    await harness.ask(token, 'hello', { max_tokens: 100 }, gone.signal);

    harness.clock.advance(32 * 60_000);
    await harness.gateway.recoverLostCalls();

    const row = (await harness.rows()).find((one) => one['task_id'] === identity.taskId);
    expect(row).toMatchObject({ status: 'lost', is_estimate: true, output_tokens: 100, cost_source: 'estimate' });
    gone.abort();
    await until(() => harness.gateway.openCalls(identity.taskId) === 0, 120_000);
  });
});
