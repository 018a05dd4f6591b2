import { afterEach, describe, expect, it } from '@jest/globals';
import { script, startScriptedModel, type ScriptedModel, type ScriptedModelOptions } from './scripted-model.ts';

let model: ScriptedModel | undefined;
afterEach(async () => {
  await model?.close();
  model = undefined;
});

const tools = [{ type: 'function', function: { name: 'bash', parameters: {} } }];
const start = async (options?: ScriptedModelOptions): Promise<ScriptedModel> =>
  (model = await startScriptedModel(options));

async function ask(messages: readonly unknown[], more: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`${model?.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer key', 'x-session-id': 'ses_1' },
    body: JSON.stringify({
      model: 'any',
      stream: true,
      stream_options: { include_usage: true },
      tools,
      messages,
      ...more,
    }),
  });
}

const user = (content: string) => ({ role: 'user', content });
const said = (content: string) => ({ role: 'assistant', content });
const called = (id: string) => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'bash', arguments: '{}' } }],
});
const result = (id: string, content: string) => ({ role: 'tool', tool_call_id: id, content });

describe('the scripted model (part of D21)', () => {
  it('streams words, one finish reason, the usage and [DONE]', async () => {
    await start();

    const body = await (await ask([user('SCENARIO:text ARG:two words')])).text();

    expect(body).toContain('"content":"two "');
    expect(body).toContain('"finish_reason":"stop"');
    expect(body).toContain('"prompt_tokens":1000');
    expect(body).toContain('"cached_tokens":200');
    expect(body.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('records who asked, with which key and headers, and which tools were offered', async () => {
    const { requests } = await start();

    await (await ask([user('first'), said('yes'), user('SCENARIO:text')])).text();

    expect(requests).toMatchObject([
      {
        model: 'any',
        authorization: 'Bearer key',
        headers: { 'x-session-id': 'ses_1' },
        tools: ['bash'],
        userTexts: ['first', 'SCENARIO:text'],
        messageCount: 3,
        includesUsage: true,
        isTitle: false,
        aborted: false,
        finished: true,
      },
    ]);
  });

  it('calls the tool at the first step and ends with text at the second', async () => {
    await start();
    const prompt = user('Please do SCENARIO:bash ARG:echo "a b"');

    const first = await (await ask([prompt])).text();
    const second = await (await ask([prompt, called('c1'), result('c1', 'a b')])).text();

    expect(first).toContain('echo \\\\\\"a b\\\\\\"');
    expect(first).toContain('"finish_reason":"tool_calls"');
    expect(second).toContain('"finish_reason":"stop"');
  });

  it('answers a request without tools with a title', async () => {
    await start();

    const body = await (await ask([user('SCENARIO:err400')], { tools: undefined })).text();

    expect(body).toContain('Scripted ');
    expect(model?.workRequests()).toHaveLength(0);
  });

  it('plays a natural prompt step by step and repeats the last step', async () => {
    await start({
      plays: script([
        {
          match: /make it green/i,
          steps: [
            { tool: 'bash', arguments: { command: 'npm test' } },
            ({ toolResults }) => ({ text: `Saw ${toolResults.join()}.` }),
          ],
        },
      ]),
    });
    const prompt = user('Make it green, please.');

    const first = await (await ask([prompt])).text();
    const second = await (await ask([prompt, called('c1'), result('c1', 'red')])).text();
    const third = await (await ask([prompt, called('c1'), result('c1', 'red'), said('Saw'), user('and now?')])).text();

    expect(first).toContain('npm test');
    expect(second).toContain('red.');
    expect(third).toContain('red.');
  });

  it('goes on where a killed session was, and repeats the tool that did not end', async () => {
    const step = (command: string) => ({ tool: 'bash', arguments: { command } });
    await start({ plays: script([{ match: /the job/, steps: [step('one'), step('two'), { text: 'over' }] }]) });
    const history = [user('do the job'), called('c1'), result('c1', 'ok'), called('c2')];
    const continuation = user('Continue. The task was: do the job');

    const interrupted = result('c2', '[Tool execution was interrupted]');
    const repeated = await (await ask([...history, interrupted, continuation])).text();
    const advanced = await (await ask([...history, result('c2', 'ok'), continuation])).text();

    expect(repeated).toContain('two');
    expect(advanced).toContain('over');
  });

  it('notes a caller that goes away', async () => {
    const { requests } = await start();
    const controller = new AbortController();

    const response = await fetch(`${model?.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'any', stream: true, tools, messages: [user('SCENARIO:hangmid')] }),
      signal: controller.signal,
    });
    controller.abort();

    expect(response.status).toBe(200);
    const deadline = Date.now() + 60_000;
    while (requests[0]?.aborted !== true && Date.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));
    expect(requests[0]).toMatchObject({ aborted: true, finished: false });
  });

  it.each([
    ['err400', 400],
    ['err401', 401],
    ['err402', 402],
    ['err429', 429],
    ['err500', 500],
    ['ctx', 400],
  ])('answers %s with %i', async (scenario, status) => {
    await start();

    const response = await ask([user(`SCENARIO:${scenario}`)]);

    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { message: expect.any(String) } });
  });

  it('refuses a scenario nobody wrote', async () => {
    await start();

    const response = await ask([user('SCENARIO:nonsense')]);

    expect(response.status).toBe(400);
  });
});
