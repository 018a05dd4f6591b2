import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, type GatewayHarness } from './gateway-harness.ts';
import { startOpenCode, type OpenCodeServer } from './opencode-server.ts';

/** Room for the other tests of this file (titles included) and some rounds of the loop. */
const ceiling = 80;

let harness: GatewayHarness;
let opencode: OpenCodeServer;

beforeAll(async () => {
  const brakes = { identicalCalls: 0, staleCalls: 0 };
  harness = await startGateway({ timeoutMs: 2_000, maximumCallsPerAttempt: ceiling, brakes });
  const { token } = await harness.newTask();
  opencode = await startOpenCode({ baseUrl: harness.url, apiKey: token });
});

afterAll(async () => {
  await opencode.close();
  await harness.close();
});

const callsOf = (prompt: string): number =>
  harness.model.workRequests().filter((one) => one.userTexts.includes(prompt)).length;

describe('P-47 a real OpenCode behind the gateway', () => {
  it('works: a prompt ends with stop and the tokens of the provider', async () => {
    const turn = await opencode.prompt('SCENARIO:bash ARG:echo hello', 120_000);

    expect(turn).toMatchObject({ finish: 'stop', error: null, text: 'All done here.' });
    expect(turn.tokens).toMatchObject({ input: 800, output: 43, reasoning: 7 });
  });

  it.each([
    ['eofclean', 'ended its answer before it was complete'],
    ['cut', 'ended its answer before it was complete'],
    ['malformed', 'cannot be read'],
    ['html', 'no model answer'],
    ['hang', 'no sign of life'],
    ['hangmid', 'no sign of life'],
    ['errchunk', 'in the middle of its answer'],
    ['toolless', 'before it was complete'],
    ['finish ARG:network_trouble', 'in the middle of its answer'],
    ['finish ARG:function_call', 'in the middle of its answer'],
    ['err400', 'unsupported parameter'],
    ['err401', 'does not accept the key'],
    ['err402', 'wants payment'],
  ])('fails after a single call when the provider answers with %s', async (scenario, words) => {
    const prompt = `SCENARIO:${scenario}`;

    const turn = await opencode.prompt(prompt, 120_000);

    expect(turn.error?.data.message).toContain(words);
    expect(callsOf(prompt)).toBe(1);
  });

  it.each([
    ['err500', 'also when it was asked once more'],
    ['err429', 'asks to slow down'],
  ])('does not try again on top of the gateway after %s', async (scenario, words) => {
    const prompt = `SCENARIO:${scenario}`;

    const turn = await opencode.prompt(prompt, 120_000);

    expect(turn.error?.data.message).toContain(words);
    expect(callsOf(prompt)).toBe(2);
  });

  it.each(['length', 'content_filter'])('ends after a single call that finished with %s', async (finish) => {
    const prompt = `SCENARIO:finish ARG:${finish}`;

    const turn = await opencode.prompt(prompt, 120_000);

    expect(turn).toMatchObject({ finish: finish.replace('_', '-'), text: 'Ended for a reason of its own.' });
    expect(callsOf(prompt)).toBe(1);
  });

  it('halts a model that calls tools for ever at the ceiling of calls', async () => {
    const turn = await opencode.prompt('SCENARIO:loop', 120_000);

    expect(turn.error?.data).toMatchObject({ statusCode: 402, message: expect.stringContaining('BudgetExceeded') });
    expect(await harness.rows()).toHaveLength(ceiling);
  });
});
