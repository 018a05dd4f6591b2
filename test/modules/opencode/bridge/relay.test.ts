import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve as pathTo } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startRelay, type Relay } from '../../../../modules/opencode/bridge/relay.ts';
import { opencodeBinary, until } from '../../../support/bridge/bridge-process.ts';

const relayProgram = pathTo(import.meta.dirname, '../../../support/bridge/relay-process.ts');

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

/** Sends a path as it stands: `fetch` would tidy it up. */
function statusOf(method: string, { hostname, port, pathname }: URL, rest: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, method, path: pathname + rest }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.once('error', reject);
    asked.end();
  });
}

describe('the git relay', () => {
  const at = (gitUrl: string, rest: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${gitUrl}/github.com/acme/app.git/${rest}`, init);

  it('adds the task token, passes on what git says of itself and nothing else, and asks for no model', async () => {
    const place = open(0);

    const found = await at(place.gitUrl, 'info/refs?service=git-upload-pack', {
      headers: { 'git-protocol': 'version=2', authorization: 'Basic stolen', cookie: 'x=y', 'x-own': 'z' },
    });
    const sent = await at(place.gitUrl, 'git-receive-pack', {
      method: 'POST',
      body: '0000',
      headers: { 'content-type': 'application/x-git-receive-pack-request' },
    });

    expect([found.status, sent.status]).toEqual([200, 200]);
    expect(seen.map(({ url }) => url)).toEqual([
      '/git/github.com/acme/app.git/info/refs?service=git-upload-pack',
      '/git/github.com/acme/app.git/git-receive-pack',
    ]);
    for (const { headers } of seen) {
      expect(headers.authorization).toBe('Bearer ort_task');
      for (const name of ['cookie', 'x-own']) expect(headers).not.toHaveProperty(name);
    }
    expect(seen[0]?.headers['git-protocol']).toBe('version=2');
    expect(seen[1]?.headers['content-type']).toBe('application/x-git-receive-pack-request');
    expect([place.calls, limitReached]).toEqual([0, 0]);
  });

  const question = 'info/refs?service=git-upload-pack';
  it.each([
    `/../llm/v1/chat/completions?/${question}`,
    `/../llm/v1/chat/completions?/git-receive-pack`,
    `/github.com/../../llm/v1/models/${question}`,
    `/%2e%2e/llm/v1/${question}`,
    `/github.com/acme%2f..%2f..%2f..%2fllm/${question}`,
    `/github.com\\..\\..\\..\\llm/${question}`,
    `/./github.com/acme/app/${question}`,
    `//evil.example/acme/app/${question}`,
    `/github.com/acme/app/info/refs`,
    `/github.com/acme/app/${question}&x=1`,
    `/github.com/acme/app/info/refs?service=git-archive`,
    `/github.com/acme/app/git-upload-pack?x=1`,
    `/github.com/acme/app/${question}#/git-upload-pack`,
  ])('leads nowhere else with %s', async (rest) => {
    const place = open();
    for (const method of ['GET', 'POST']) expect(await statusOf(method, new URL(place.gitUrl), rest)).toBe(404);
    expect(seen).toEqual([]);
  });

  it.each(['/127.0.0.1:8080/acme/app.git', '/git.example.com/group/sub~x/.app_1..2', '/github.com/acme/...'])(
    'reaches %s',
    async (repository) => {
      const place = open();
      expect(await statusOf('GET', new URL(place.gitUrl), `${repository}/${question}`)).toBe(200);
      expect(seen[0]?.url).toBe(`/git${repository}/${question}`);
    },
  );

  it('says a refusal in words that git shows, and never makes git ask for a password', async () => {
    const place = open();
    service.removeAllListeners('request');
    service.on('request', (_request, response: ServerResponse) => {
      response.writeHead(401, { 'content-type': 'application/problem+json', 'www-authenticate': 'Bearer' });
      response.end(JSON.stringify({ detail: 'The task has ended.' }));
    });

    const answer = await at(place.gitUrl, 'info/refs?service=git-receive-pack');

    expect([answer.status, answer.headers.get('content-type'), await answer.text()]).toEqual([
      403,
      'text/plain',
      'The task has ended.\n',
    ]);
    expect(answer.headers.has('www-authenticate')).toBe(false);
  });

  it('leaves no connection with the rest of a push in it, on which a model call would hang', async () => {
    service.removeAllListeners('request');
    service.on('request', (asked: IncomingMessage, response: ServerResponse) => {
      if (asked.url?.startsWith('/git/')) return void response.writeHead(403).end('{"detail":"no"}');
      asked.resume().once('end', () => response.end('heard'));
    });
    const { port } = service.address() as AddressInfo;
    const child = spawn(opencodeBinary, [relayProgram, `http://127.0.0.1:${port}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env['PATH'], BUN_BE_BUN: '1' },
    });
    try {
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
      const place = JSON.parse(line) as { url: string; gitUrl: string };
      const body = Buffer.alloc(8 * 1024 * 1024);
      expect((await at(place.gitUrl, 'git-receive-pack', { method: 'POST', body })).status).toBe(403);
      expect(await (await call(place.url)).text()).toBe('heard');
    } finally {
      child.kill();
    }
  });

  it('ends with the attempt, and has nothing under another path', async () => {
    const place = open();
    const elsewhere = ['info/refs/../../../../../api/v2/agents/audit', 'HEAD', 'objects/info/packs', ''];
    const answers = await Promise.all(elsewhere.map((rest) => at(place.gitUrl, rest)));
    place.close();
    answers.push(await at(place.gitUrl, 'info/refs?service=git-upload-pack'));

    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    expect(seen).toEqual([]);
  });
});
