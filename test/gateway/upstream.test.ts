import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { providerKey, startGateway, until, type GatewayHarness, type HarnessOptions } from './gateway-harness.ts';

let harness: GatewayHarness | undefined;
let provider: Server | undefined;
afterEach(async () => {
  await harness?.close();
  const server = provider;
  harness = provider = undefined;
  if (server === undefined) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A provider that does exactly this, and a task that may call it. */
async function startWith(answer: Answer, options: HarnessOptions = {}) {
  const server = (provider = createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(request, response));
  }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstreamUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  harness = await startGateway({ upstreamUrl, ...options });
  const { token } = await harness.newTask();
  return { ...harness, token };
}

const sse = { 'content-type': 'text/event-stream' };
const word = (content: string, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}`;
const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}';

describe('P-47 the wire', () => {
  it('survives bytes that arrive one by one, letters of several bytes and lines that end in CRLF', async () => {
    const whole = [': keep-alive', word('größe ✓'), word('', 'stop'), usage, 'data: [DONE]', ''].join('\r\n\r\n');
    const { ask, token, rows } = await startWith((_request, response) => {
      response.writeHead(200, sse);
      for (const byte of Buffer.from(whole)) response.write(Buffer.from([byte]));
      response.end();
    });

    const text = await (await ask(token, 'hello')).text();

    expect(text).toBe(whole.replace('data: [DONE]\r\n\r\n', 'data: [DONE]\n\n'));
    expect(await rows()).toMatchObject([{ status: 'succeeded', input_tokens: 3, output_tokens: 2 }]);
  });

  it('accepts an answer whose last event lacks its blank line and its [DONE]', async () => {
    const { ask, token, rows } = await startWith((_request, response) => {
      response.writeHead(200, sse).end(`${word('a')}\n\n${word('', 'stop')}`);
    });

    const text = await (await ask(token, 'hello')).text();

    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text).not.toContain('error');
    expect(await rows()).toMatchObject([{ status: 'succeeded', finish_reason: 'stop', is_estimate: true }]);
  });

  it.each([
    ['a chunk that is no model answer', 'data: {"hello":1}\n\n', 'upstream_malformed'],
    ['a number', 'data: 7\n\n', 'upstream_malformed'],
    ['nothing at all', '', 'upstream_incomplete'],
    ['[DONE] alone', 'data: [DONE]\n\n', 'upstream_incomplete'],
  ])('answers 424 for %s, since nothing was sent yet', async (_name, body, code) => {
    const { ask, token } = await startWith((_request, response) => void response.writeHead(200, sse).end(body));

    const response = await ask(token, 'hello');

    expect(response.status).toBe(424);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  it.each([
    ['a redirect', 302, 424, 'upstream_not_a_stream'],
    ['204', 204, 424, 'upstream_not_a_stream'],
    ['403', 403, 424, 'upstream_credentials'],
    ['404', 404, 404, 'upstream_no_model'],
    ['408', 408, 424, 'upstream_failed'],
    ['409', 409, 400, 'upstream_refused'],
    ['503', 503, 424, 'upstream_failed'],
  ])('translates %s', async (_name, status, answered, code) => {
    const { ask, token } = await startWith((_request, response) => {
      response.writeHead(status, { location: 'http://127.0.0.1:9/', 'content-type': 'application/json' }).end();
    });

    const response = await ask(token, 'hello');

    expect(response.status).toBe(answered);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  it.each([
    ['20', [20_000]],
    ['999999999', []],
    ['0', [1_000]],
    ['Sat, 21 Nov 2026 12:00:30 GMT', [30_000]],
    ['soon', [1_000]],
  ])('waits for retry-after %s before it asks once more, if a call can wait so long', async (given, waited) => {
    const waits: number[] = [];
    const { ask, token } = await startWith(
      (_request, response) => void response.writeHead(429, { 'retry-after': given }).end(),
      { wait: (milliseconds) => Promise.resolve(void waits.push(milliseconds)) },
    );

    const response = await ask(token, 'hello');

    expect(response.status).toBe(424);
    expect(waits).toEqual(waited);
  });

  it('slows the provider down when the client does not read, and loses nothing', async () => {
    const event = `${word('x'.repeat(64 * 1024))}\n\n`;
    const count = 800;
    let sent = 0;
    const pour = async (response: ServerResponse): Promise<void> => {
      response.writeHead(200, sse);
      for (; sent < count; sent++) if (!response.write(event)) await once(response, 'drain');
      response.end(`${word('', 'stop')}\n\n`);
    };
    const { ask, token } = await startWith((_request, response) => void pour(response));

    const response = await ask(token, 'hello');
    await until(() => sent === count, 1_500);
    const sentUnread = sent;
    const text = await response.text();

    // 50 MB do not fit into the buffers between the two ends.
    expect(sentUnread).toBeLessThan(count / 2);
    expect(text.length).toBeGreaterThan(count * 64 * 1024);
  });

  it('ends the turn when the provider cannot be reached', async () => {
    harness = await startGateway({ upstreamUrl: 'http://127.0.0.1:9/v1' });
    const { token } = await harness.newTask();

    const response = await harness.ask(token, 'hello');

    expect(response.status).toBe(424);
    expect(await harness.rows()).toMatchObject([{ error_code: 'upstream_unreachable', cost_micro_usd: 0 }]);
  });

  it('ends a stream that drips for longer than a call may take', async () => {
    const drip = (response: ServerResponse): void => {
      if (response.destroyed) return;
      response.write(': still here\n\n');
      setTimeout(() => drip(response), 20);
    };
    const { ask, token } = await startWith((_request, response) => drip(response.writeHead(200, sse)), { callMs: 300 });

    const text = await (await ask(token, 'hello')).text();

    expect(text).toContain('upstream_too_long');
  });
});

describe('what the provider reports as used (part of P-54)', () => {
  const dear = { input: 1_000_000, cached: 100_000, output: 2_000_000, reasoning: 2_000_000 };
  const prices = { taken: '2026-11-21', models: new Map([['scripted/model', dear]]) };
  const report = (used: unknown): string => `data: ${JSON.stringify({ choices: [], usage: used })}`;
  const bare = (used: string): string => `data: {"usage":${used}}`;
  const most = 1_000_000_000;

  const metered = async (...reports: string[]) => {
    const events = [word('a', 'stop'), ...reports, 'data: [DONE]', ''].join('\n\n');
    const { ask, token, rows, database, gateway } = await startWith(
      (_request, response) => void response.writeHead(200, sse).end(events),
      { prices },
    );
    const text = await (await ask(token, 'hello')).text();
    expect(text).not.toContain('error');
    const [row] = await rows();
    const taskId = String(row?.['task_id']);
    return { row, sum: await database.transaction((tx) => gateway.usageOf(tx, taskId)) };
  };

  it.each([
    ['more than bigint holds', bare('{"prompt_tokens":1e30,"completion_tokens":1}')],
    ['a negative count', bare('{"prompt_tokens":10,"completion_tokens":-5}')],
    ['a fraction', bare('{"prompt_tokens":10.5,"completion_tokens":1}')],
    ['nothing', bare('{}')],
  ])('counts the most that it can have been when it is %s, and ends no turn for it', async (_name, event) => {
    const { row, sum } = await metered(event.replace('{"usage"', '{"choices":[],"usage"'));

    expect(row).toMatchObject({ status: 'succeeded', is_estimate: true, cost_source: 'estimate', error_code: null });
    expect(row?.['input_tokens']).toBe(row?.['reserved_input']);
    expect(sum).toMatchObject({
      calls: 1,
      estimated_calls: 1,
      unpriced_calls: 0,
      cost_micro_usd: row?.['cost_micro_usd'],
    });
  });

  it('ends no turn for an unusable report in an event of its own', async () => {
    expect((await metered(bare('{"prompt_tokens":-1}'))).row).toMatchObject({ status: 'succeeded' });
  });

  it('closes the row with the largest numbers there may be', async () => {
    const { row } = await metered(
      report({
        prompt_tokens: most,
        completion_tokens: most,
        completion_tokens_details: { reasoning_tokens: most },
        cost: 10_000,
      }),
    );

    expect(row).toMatchObject({ status: 'succeeded', input_tokens: most, cost_micro_usd: 10_000_000_000 });
  });

  it('prices by the list when the cost it names is absurd', async () => {
    const { row } = await metered(report({ prompt_tokens: 3, completion_tokens: 2, cost: 1e300 }));

    expect(row).toMatchObject({ status: 'succeeded', cost_micro_usd: 7, cost_source: 'prices' });
  });

  it('does not let a later report take an earlier one back', async () => {
    const { row } = await metered(
      report({ prompt_tokens: 300, completion_tokens: 20, cost: 0.5 }),
      report({ prompt_tokens: 0, completion_tokens: 0, cost: 0 }),
    );

    expect(row).toMatchObject({ input_tokens: 300, output_tokens: 20, cost_micro_usd: 500_000 });
  });

  it('does not trust the figures of a call of which a later report was unusable', async () => {
    const { row } = await metered(
      report({ prompt_tokens: 300, completion_tokens: 20 }),
      report({ prompt_tokens: -1, completion_tokens: 0 }),
    );

    expect(row).toMatchObject({ input_tokens: 300, is_estimate: true, cost_source: 'estimate' });
    expect(Number(row?.['output_tokens'])).toBeGreaterThan(20);
  });
});

describe('a provider key (part of S-58 and C-14)', () => {
  const echoes: readonly (readonly [string, Answer])[] = [
    [
      'an error body',
      (request, response) => {
        const message = `Bad key ${request.headers.authorization}`;
        response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { message } }));
      },
    ],
    [
      'an error status of the key itself',
      (request, response) => void response.writeHead(401).end(String(request.headers.authorization)),
    ],
    [
      'headers',
      (request, response) => {
        const key = String(request.headers.authorization);
        response.writeHead(200, { ...sse, 'x-key': key, 'set-cookie': key }).end(`${word('a', 'stop')}\n\n`);
      },
    ],
    [
      'the stream',
      (request, response) => {
        response.writeHead(200, sse).end(`${word(String(request.headers.authorization), 'stop')}\n\n`);
      },
    ],
    [
      'an error inside the stream',
      (request, response) => {
        const error = { message: request.headers.authorization };
        response.writeHead(200, sse).end(`${word('a')}\n\ndata: ${JSON.stringify({ error })}\n\n`);
      },
    ],
    ['a page', (request, response) => void response.end(`<p>${request.headers.authorization}`)],
    [
      'a line that is no JSON',
      (request, response) => void response.writeHead(200, sse).end(`data: {${request.headers.authorization}\n\n`),
    ],
  ];

  it.each(echoes)('that the provider echoes in %s reaches no client, log line or row', async (_name, answer) => {
    const { ask, token, rows, log } = await startWith(answer);

    const response = await ask(token, 'hello');
    const headers: string[] = [];
    response.headers.forEach((value, name) => headers.push(`${name}: ${value}`));
    const seen = JSON.stringify([headers, await response.text(), await rows(), log()]);

    expect(await rows()).toHaveLength(1);
    expect(seen).not.toContain(providerKey);
  });

  it('neither it nor the task token nor the prompt is in a log line or a row, whatever happens to the call', async () => {
    const prompt = 'the-prompt-of-the-canary';
    harness = await startGateway({ maximumCallsPerAttempt: 14, timeoutMs: 300 });
    const { ask, newTask, rows, log } = harness;
    const { token } = await newTask();
    const ends = [
      'text',
      'err400',
      'err401',
      'err429',
      'err500',
      'eofclean',
      'html',
      'malformed',
      'cut',
      'hang',
      'errchunk',
    ];

    for (const end of ends) await (await ask(token, `${prompt} SCENARIO:${end}`)).text();
    await (await ask(token, prompt, { model: 'not/allowed' })).text();
    await (await ask(token, prompt, { messages: prompt })).text();
    const written = log() + JSON.stringify(await rows());

    expect(await rows()).toHaveLength(ends.length);
    expect(log()).toContain('model call failed');
    for (const secret of [providerKey, token, prompt]) expect(written).not.toContain(secret);
  });
});
