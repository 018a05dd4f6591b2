import { request as httpRequest } from 'node:http';
import { afterEach, beforeAll, afterAll, describe, expect, it } from '@jest/globals';
import { bodyLimitBytes } from '../../service/gateway/request-body.ts';
import { startGateway, providerKey, until, type GatewayHarness } from './gateway-harness.ts';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await startGateway({ timeoutMs: 60_000, prices: { taken: '2026-11-21', models: new Map() } });
});
afterAll(() => harness.close());

const openRows = async () => (await harness.rows()).filter((row) => row['status'] === 'open');
afterEach(async () => {
  await until(async () => (await openRows()).length === 0);
  expect(await openRows()).toEqual([]);
});

const lastRequest = () => harness.model.requests.at(-1);
const rowOf = async (taskId: string) => (await harness.rows()).filter((row) => row['task_id'] === taskId).at(-1);

describe('P-47 the model gateway', () => {
  it('passes a stream on as it came', async () => {
    const { token } = await harness.newTask();

    const response = await harness.ask(token, 'SCENARIO:text ARG:two words');
    const text = await response.text();

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(text).toContain('"content":"two "');
    expect(text.match(/data: \[DONE\]\n\n/g)).toHaveLength(1);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('passes each word on when it comes, not at the end', async () => {
    const { token } = await harness.newTask();

    const response = await harness.ask(token, 'SCENARIO:hangmid');
    const reader = response.body?.getReader();
    const first = await reader?.read();

    expect(Buffer.from(first?.value ?? []).toString()).toContain('Half');
    await reader?.cancel();
  });

  it('answers a call that wants no stream with one JSON body, metered as well', async () => {
    const { identity, token } = await harness.newTask();

    const response = await harness.ask(token, 'SCENARIO:text ARG:whole', { stream: false });

    expect(await response.json()).toMatchObject({
      choices: [{ message: { content: 'whole' }, finish_reason: 'stop' }],
    });
    expect(lastRequest()).toMatchObject({ stream: false, includesUsage: false });
    expect(await rowOf(identity.taskId)).toMatchObject({ status: 'succeeded', input_tokens: 800 });
  });

  it('asks the provider for the usage of every stream, whatever the client asked', async () => {
    const { token } = await harness.newTask();

    await (await harness.ask(token, 'SCENARIO:text', { stream_options: { include_usage: false } })).text();

    expect(lastRequest()?.includesUsage).toBe(true);
  });

  it('takes a conversation of many megabytes and refuses one above the limit with 413', async () => {
    const { token } = await harness.newTask();

    const large = await harness.ask(token, 'SCENARIO:text', { padding: 'x'.repeat(5 * 1024 * 1024) });
    const refused = await declareLength(harness.url, token, bodyLimitBytes + 1);

    expect(large.status).toBe(200);
    await large.text();
    expect(refused).toBe(413);
  });

  it.each([
    ['no JSON', '{"messages": [', 400],
    ['no messages', '{"model":"x"}', 400],
    ['messages of the wrong type', '{"messages":"secret prompt"}', 400],
  ])('refuses %s in the form OpenAI uses and quotes none of it', async (_name, body, status) => {
    const { token } = await harness.newTask();
    const before = harness.model.requests.length;

    const response = await fetch(`${harness.url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body,
    });
    const text = await response.text();

    expect(response.status).toBe(status);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'invalid_request' } });
    expect(text).not.toContain('secret prompt');
    expect(harness.model.requests).toHaveLength(before);
  });
});

describe('the provider key (part of P-51)', () => {
  it('is added by the gateway; nothing of the client goes upstream but the body', async () => {
    const { token } = await harness.newTask();

    await (await harness.ask(token, 'SCENARIO:text')).text();

    expect(lastRequest()).toMatchObject({ authorization: `Bearer ${providerKey}`, headers: {} });
  });

  it('lists what may be named without asking the provider', async () => {
    const { token } = await harness.newTask();

    const response = await fetch(`${harness.url}/models`, { headers: { authorization: `Bearer ${token}` } });

    expect(await response.json()).toMatchObject({
      object: 'list',
      data: [{ id: 'scripted/model' }, { id: 'scripted/other' }],
    });
  });
});

describe('a model (part of P-52)', () => {
  it.each([
    ['outrigger/default', 'outrigger/default', 'scripted/model'],
    ['default', '', 'scripted/model'],
    ['outrigger/default', 'scripted/other', 'scripted/other'],
    ['scripted/other', 'scripted/model', 'scripted/other'],
    [undefined, 'scripted/other', 'scripted/other'],
  ])('named %s for a task with %s is %s upstream', async (asked, ofTask, upstream) => {
    const { identity, token } = await harness.newTask(ofTask);

    await (await harness.ask(token, 'SCENARIO:text', { model: asked })).text();

    expect(lastRequest()?.model).toBe(upstream);
    expect(await rowOf(identity.taskId)).toMatchObject({ model: upstream });
  });

  it('that is not listed is refused with 422 and the list, and no call is made', async () => {
    const { identity, token } = await harness.newTask();

    const response = await harness.ask(token, 'SCENARIO:text', { model: 'vendor/unlisted' });

    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      error: {
        code: 'model_not_allowed',
        message: 'Model vendor/unlisted is not offered here. Choose one of: scripted/model, scripted/other.',
      },
    });
    expect(await rowOf(identity.taskId)).toBeUndefined();
  });

  it('can be checked by whoever takes a task', () => {
    expect(harness.gateway.resolveModel(null)).toBe('scripted/model');
    expect(harness.gateway.resolveModel('scripted/other')).toBe('scripted/other');
    expect(() => harness.gateway.resolveModel('vendor/unlisted')).toThrow('Choose one of');
  });
});

describe('the end of a call (part of D6)', () => {
  it('closes the connection to the provider when the client goes away, and records the call', async () => {
    const { identity, token } = await harness.newTask();
    const controller = new AbortController();

    const response = await harness.ask(token, 'SCENARIO:hangmid', {}, controller.signal);
    const upstream = lastRequest();
    controller.abort();
    await until(async () => upstream?.aborted === true && harness.gateway.openCalls(identity.taskId) === 0);

    expect(response.status).toBe(200);
    expect(upstream?.aborted).toBe(true);
    expect(await rowOf(identity.taskId)).toMatchObject({
      status: 'disconnected',
      is_estimate: true,
      output_tokens: 32_768,
      cost_micro_usd: null,
      cost_source: 'unknown',
    });
  });

  it('makes no call and raises no alarm when the client goes away before its question is complete', async () => {
    const { identity, token } = await harness.newTask();
    const before = harness.model.requests.length;

    await sendHalf(harness.url, token);
    await (await harness.ask(token, 'SCENARIO:text')).text();

    expect(harness.model.requests).toHaveLength(before + 1);
    expect((await harness.rows()).filter((row) => row['task_id'] === identity.taskId)).toHaveLength(1);
    expect(harness.log()).not.toContain('"level":50');
  });

  it('ends the open calls of one task and of no other', async () => {
    const [mine, other] = [await harness.newTask(), await harness.newTask()];
    const controller = new AbortController();
    const answer = await harness.ask(mine.token, 'SCENARIO:hangmid ARG:mine');
    await harness.ask(other.token, 'SCENARIO:hangmid ARG:other', {}, controller.signal);
    const open = harness.gateway.openCalls(mine.identity.taskId);

    const ended = harness.gateway.abortCalls(mine.identity.taskId);
    const text = await answer.text();

    expect([open, ended, harness.gateway.openCalls(mine.identity.taskId)]).toEqual([1, 1, 0]);
    expect(text).toContain('task_stopped');
    expect(harness.gateway.openCalls(other.identity.taskId)).toBe(1);
    expect(await rowOf(mine.identity.taskId)).toMatchObject({ status: 'stopped', error_code: 'task_stopped' });
    controller.abort();
    await until(() => harness.gateway.openCalls(other.identity.taskId) === 0);
  });

  it('asks twice after 429 and 5xx, then ends the turn, and none of it costs anything', async () => {
    const [limited, failing] = [await harness.newTask(), await harness.newTask()];
    const before = harness.model.requests.length;

    const slow = await harness.ask(limited.token, 'SCENARIO:err429');
    const broken = await harness.ask(failing.token, 'SCENARIO:err500');

    expect([slow.status, broken.status]).toEqual([424, 424]);
    expect(harness.model.requests.length - before).toBe(4);
    const free = { status: 'failed', cost_micro_usd: 0, cost_source: 'none', is_estimate: false };
    expect(await rowOf(limited.identity.taskId)).toMatchObject({ ...free, error_code: 'upstream_slow_down' });
    expect(await rowOf(failing.identity.taskId)).toMatchObject({ ...free, error_code: 'upstream_failed' });
  });

  it('keeps the words of a context that is too long, for the harness reads them', async () => {
    const { token } = await harness.newTask();

    const response = await harness.ask(token, 'SCENARIO:ctx');

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringContaining('maximum context length') },
    });
  });
});

/** Sends the beginning of a body and hangs up; resolves when the server's side of it is over. */
function sendHalf(url: string, token: string): Promise<void> {
  return new Promise((resolve) => {
    const outgoing = httpRequest(`${url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-length': '1000', expect: '100-continue' },
    });
    outgoing.on('error', () => undefined);
    outgoing.on('close', () => resolve());
    outgoing.on('continue', () => outgoing.write('{"messages":', () => outgoing.destroy()));
    outgoing.flushHeaders();
  });
}

/** Says how long the body would be and sends none of it. */
function declareLength(url: string, token: string, bytes: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(`${url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-length': String(bytes) },
    });
    outgoing.on('response', (response) => {
      resolve(response.statusCode);
      outgoing.destroy();
    });
    outgoing.on('error', reject);
    outgoing.flushHeaders();
  });
}
