import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { costOf, loadPrices } from '../../service/gateway/prices.ts';
import { makeUsageMeter } from '../../service/gateway/usage.ts';
import { startGateway, type GatewayHarness, type HarnessOptions } from './gateway-harness.ts';

let harness: GatewayHarness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});
const start = async (options: HarnessOptions): Promise<GatewayHarness> => (harness = await startGateway(options));

const directory = mkdtempSync(join(tmpdir(), 'outrigger-prices-'));
afterAll(() => rmSync(directory, { recursive: true }));
const priceFile = (content: unknown): string => {
  const path = join(directory, 'prices.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};
const unit = 'micro-USD per million tokens';
const dear = { input: 1_000_000, cached: 100_000, output: 2_000_000, reasoning: 2_000_000 };
const table = { taken: '2026-11-21', models: new Map([['scripted/model', dear]]) };

describe('usage (part of P-54)', () => {
  it('counts no token twice: input without cached, output without reasoning, and prices each kind', async () => {
    const { newTask, ask, rows } = await start({ prices: table });
    const { identity, token } = await newTask();

    await (await ask(token, 'SCENARIO:text')).text();

    // 800·1 + 200·0.1 + (43+7)·2 micro-USD
    expect(await rows()).toMatchObject([
      {
        task_id: identity.taskId,
        attempt: 1,
        owner_id: identity.ownerId,
        organization_id: identity.organizationId,
        model: 'scripted/model',
        status: 'succeeded',
        finish_reason: 'stop',
        input_tokens: 800,
        cached_tokens: 200,
        output_tokens: 43,
        reasoning_tokens: 7,
        cost_micro_usd: 920,
        cost_source: 'prices',
        error_code: null,
      },
    ]);
  });

  it('believes the provider rather than our list when it names the cost', async () => {
    const { newTask, ask, rows } = await start({ prices: table, model: { usage: { cost: 0.0123456 } } });
    const { token } = await newTask();

    await (await ask(token, 'SCENARIO:text')).text();

    expect(await rows()).toMatchObject([{ cost_micro_usd: 12346, cost_source: 'provider' }]);
  });

  it('knows that it does not know the cost of an unlisted model', async () => {
    const { newTask, ask, rows, log, database, gateway } = await start({});
    const { identity, token } = await newTask();

    await (await ask(token, 'SCENARIO:text')).text();

    expect(await rows()).toMatchObject([{ cost_micro_usd: null, cost_source: 'unknown' }]);
    expect(log()).toContain('model call has no known cost');
    expect(await database.transaction((tx) => gateway.usageOf(tx, identity.taskId))).toMatchObject({
      unpriced_calls: 1,
    });
  });

  it('sums all attempts of a task, and the sum over tasks equals the total', async () => {
    const { newTask, ask, rows, database, gateway } = await start({ prices: table });
    const [one, two] = [await newTask(), await newTask()];
    await (await ask(one.token, 'SCENARIO:text')).text();
    const again = await database.transaction((tx) => gateway.mintTaskToken(tx, { ...one.identity, attempt: 2 }));
    await (await ask(again, 'SCENARIO:text')).text();
    await (await ask(two.token, 'SCENARIO:text')).text();

    const sums = await database.transaction((tx) =>
      Promise.all([one, two].map(({ identity }) => gateway.usageOf(tx, identity.taskId))),
    );

    expect(sums[0]).toEqual({
      input_tokens: 1600,
      cached_tokens: 400,
      output_tokens: 86,
      reasoning_tokens: 14,
      calls: 2,
      cost_micro_usd: 1840,
      tool_calls: 0,
      estimated_calls: 0,
      unpriced_calls: 0,
    });
    const total = (await rows()).reduce((sum, row) => sum + Number(row['cost_micro_usd']), 0);
    expect(sums.reduce((sum, usage) => sum + usage.cost_micro_usd, 0)).toBe(total);
  });

  it('is complete before the answer ends', async () => {
    const { newTask, ask, rows } = await start({ prices: table });
    const { token } = await newTask();

    for (let round = 0; round < 10; round++) {
      await (await ask(token, 'SCENARIO:text')).text();
      expect((await rows()).filter((row) => row['status'] === 'open')).toEqual([]);
    }
  });

  it('records a stream that breaks, with the reason', async () => {
    const { newTask, ask, rows } = await start({});
    const { token } = await newTask();

    const text = await (await ask(token, 'SCENARIO:cut')).text();

    expect(text).toContain('upstream_incomplete');
    expect(await rows()).toMatchObject([
      { status: 'failed', error_code: 'upstream_incomplete', cost_source: 'unknown' },
    ]);
  });

  it('closes the rows of calls whose process was killed, and leaves running ones alone', async () => {
    const { newTask, ask, rows, gateway, clock } = await start({ callMs: 60_000, timeoutMs: 60_000 });
    const { identity, token } = await newTask();
    const controller = new AbortController();
    await ask(token, 'SCENARIO:hangmid', {}, controller.signal);

    const early = await gateway.recoverLostCalls();
    clock.advance(121_000);
    const late = await gateway.recoverLostCalls();

    expect([early, late]).toEqual([0, 1]);
    expect(await rows()).toMatchObject([{ task_id: identity.taskId, status: 'lost', cost_source: 'unknown' }]);
    controller.abort();
  });

  it.each([
    [
      'more cached than asked',
      { prompt_tokens: 5, prompt_tokens_details: { cached_tokens: 9 } },
      { input: 0, cached: 5 },
    ],
    [
      'reasoning beside the output',
      { completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 9 } },
      { output: 5, reasoning: 9 },
    ],
  ])('understands a provider that reports %s', (_name, reported, tokens) => {
    expect(gathered(reported)?.tokens).toMatchObject(tokens);
  });

  it.each([
    ['nothing', {}],
    ['null', null],
    ['a fraction', { prompt_tokens: 1.5, completion_tokens: 1 }],
    ['less than nothing', { prompt_tokens: 10, completion_tokens: -1 }],
    ['more than a thousand million', { prompt_tokens: 1_000_000_001, completion_tokens: 1 }],
    ['a number that is none', { prompt_tokens: 1e400, completion_tokens: 1 }],
    ['a text', { prompt_tokens: '10', completion_tokens: 1 }],
    ['a detail without bounds', { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 1e30 } }],
    ['no object', 'free of charge'],
  ])('takes %s for not reported', (_name, reported) => {
    expect(gathered(reported)).toBeNull();
  });

  it.each([-1, 10_001, 1e300, '0.01', Number.NaN])('takes a cost of %p for not reported', (cost) => {
    expect(gathered({ prompt_tokens: 1, completion_tokens: 1, cost })).toMatchObject({
      tokens: { input: 1, output: 1 },
      costMicroUsd: null,
    });
  });

  it('never falls within one answer: of each number the largest counts', () => {
    const early = {
      prompt_tokens: 100,
      completion_tokens: 20,
      prompt_tokens_details: { cached_tokens: 30 },
      completion_tokens_details: { reasoning_tokens: 5 },
      cost: 0.5,
    };
    const late = { prompt_tokens: 1, completion_tokens: 40, cost: 0 };

    expect(gathered(early, late, {}, null)).toEqual({
      tokens: { input: 70, cached: 30, output: 35, reasoning: 5 },
      costMicroUsd: 500_000,
      isDoubtful: false,
    });
  });

  it('keeps what was reported before a report that cannot be right, and doubts it', () => {
    expect(gathered({ prompt_tokens: 100, completion_tokens: 20 }, { prompt_tokens: -1 })).toMatchObject({
      tokens: { input: 100, output: 20 },
      isDoubtful: true,
    });
  });
});

const gathered = (...reports: unknown[]) => {
  const meter = makeUsageMeter();
  for (const report of reports) meter.see(report);
  return meter.usage();
};

describe('the price list (part of P-54)', () => {
  it('is valid, dated, and lists no price of zero for output', () => {
    const { taken, models } = loadPrices();

    expect(taken).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(models.size).toBeGreaterThan(3);
    for (const price of models.values()) expect(price.output).toBeGreaterThan(price.cached);
  });

  it('is overridden model by model by a file of the admin', () => {
    const path = priceFile({ taken: '2027-01-02', unit, models: { 'openai/gpt-4o': dear } });

    const { taken, models } = loadPrices(path);

    expect(taken).toBe('2027-01-02');
    expect(models.get('openai/gpt-4o')).toEqual(dear);
    expect(models.size).toBe(loadPrices().models.size);
  });

  it.each([
    ['broken JSON', '{', 'not valid JSON'],
    ['a negative price', { taken: '2027-01-02', unit, models: { m: { ...dear, input: -1 } } }, 'models.m.input'],
    ['a misspelled kind', { taken: '2027-01-02', unit, models: { m: { ...dear, outputs: 1 } } }, 'outputs'],
    ['no date', { unit, models: {} }, 'taken'],
  ])('refuses a file with %s and says where', (_name, content, where) => {
    expect(() => loadPrices(priceFile(content))).toThrow(where);
  });

  it('refuses a file that is not there and names it', () => {
    expect(() => loadPrices('/nowhere/prices.json')).toThrow('/nowhere/prices.json');
  });

  it('rounds to whole micro-USD', () => {
    const tokens = { input: 1, cached: 0, output: 0, reasoning: 0 };
    const at = (input: number) => costOf({ ...table, models: new Map([['m', { ...dear, input }]]) }, 'm', tokens);

    expect([at(499_999), at(500_000), at(1_000_000)]).toEqual([0, 1, 1]);
    expect(costOf(table, 'unknown', tokens)).toBeNull();
  });

  it('gives no cost that could not be stored', () => {
    const tokens = { input: 1_000_000_000, cached: 0, output: 0, reasoning: 0 };
    const at = (input: number) => costOf({ ...table, models: new Map([['m', { ...dear, input }]]) }, 'm', tokens);

    expect([at(10_000_000), at(10_000_001), at(Number.MAX_SAFE_INTEGER)]).toEqual([10_000_000_000, null, null]);
  });
});
