import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startRelay, type Relay } from '../../../../modules/opencode/bridge/relay.ts';
import { until } from '../../../support/bridge/bridge-process.ts';

let service: Server;
let relay: Relay;
let seen: { url: string; headers: IncomingHttpHeaders; closed: boolean }[];
let limitReached: number;

beforeEach(async () => {
  seen = [];
  limitReached = 0;
  service = createServer((request, response) => {
    const record = { url: request.url ?? '', headers: request.headers, closed: false };
    seen.push(record);
    response.once('close', () => (record.closed = true));
    response.writeHead(200, { 'content-type': 'text/event-stream', 'set-cookie': 'a=b' });
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
    const toolCall = 'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n';
    const finish = 'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n';
    if (request.headers['x-break'] === 'before') return void response.write(toolCall, () => response.destroy());
    if (request.headers['x-break'] === 'after') return void response.write(toolCall + finish, () => response.destroy());
    if (request.headers['x-hang'] === undefined) response.end('data: [DONE]\n\n');
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const { port } = service.address() as AddressInfo;
  relay = await startRelay({ serviceUrl: `http://127.0.0.1:${port}`, port: 0, log: () => undefined });
});
afterEach(async () => {
  await relay.close();
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
});

const open = (callLimit = 10) => relay.open({ taskToken: 'ort_task', callLimit, onLimit: () => (limitReached += 1) });
const call = (url: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}/chat/completions`, {
    method: 'POST',
    body: '{"model":"m"}',
    headers: { 'content-type': 'application/json', ...headers },
  });

describe('the model relay', () => {
  it('adds the task token, drops what the caller brought, and streams the answer through', async () => {
    const place = open();

    const answer = await call(place.url, { authorization: 'Bearer stolen', cookie: 'x=y', 'x-session-id': 's' });

    expect(await answer.text()).toBe('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n');
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(seen[0]).toMatchObject({
      url: '/llm/v1/chat/completions',
      headers: { authorization: 'Bearer ort_task', 'x-session-id': 's' },
    });
    expect(seen[0]?.headers).not.toHaveProperty('cookie');
    expect(place.calls).toBe(1);
  });

  it('ends an answer that broke after its finish as a whole one, and breaks one that broke before it', async () => {
    const place = open();

    const whole = await (await call(place.url, { 'x-break': 'after' })).text();

    expect(whole).toContain('tool_calls":[');
    expect(whole).toMatch(/"finish_reason":"tool_calls"}]}\n\ndata: \[DONE\]\n\n$/);
    await expect(call(place.url, { 'x-break': 'before' }).then((answer) => answer.text())).rejects.toThrow();
  });

  it.each(['/', '/llm/v1/chat/completions', `/llm/${'0'.repeat(32)}/v1/chat/completions`, '/api/v2/agents/tasks'])(
    'has nothing at %s',
    async (path) => {
      open();

      const answer = await fetch(`http://127.0.0.1:${relay.port}${path}`, { method: 'POST', body: '{}' });

      expect(answer.status).toBe(404);
      expect(seen).toEqual([]);
    },
  );

  it('passes only model routes on', async () => {
    const place = open();

    const answers = await Promise.all(
      ['/../../api/v2/agents/audit', '/files', '/chat/completions/x'].map((path) => fetch(place.url + path)),
    );

    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
    expect(seen).toEqual([]);
  });

  it('answers 200 to /healthz', async () => {
    expect((await fetch(`http://127.0.0.1:${relay.port}/healthz`)).status).toBe(200);
  });

  it('refuses the call after the last allowed one and says so', async () => {
    const place = open(1);
    await (await call(place.url)).text();

    expect((await call(place.url)).status).toBe(403);
    expect([limitReached, seen.length]).toEqual([1, 1]);
  });

  it('cuts open calls when its place closes, and answers 404 from then on', async () => {
    const place = open();
    const hanging = await call(place.url, { 'x-hang': '1' });

    expect(place.close()).toBe(0);

    await expect(hanging.text()).rejects.toThrow();
    await until('the call to the service to end', () => seen[0]?.closed);
    expect((await call(place.url)).status).toBe(404);
  });
});
