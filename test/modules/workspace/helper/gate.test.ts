import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gatePath, installHelper, makeWorker, sendRaw, tokenCanary, until, type Tools, type Worker } from './world.ts';

let tools: Tools;
let worker: Worker;
let workspaceDir: string;
beforeAll(async () => {
  tools = await installHelper();
  workspaceDir = mkdtempSync(join(tmpdir(), 'outrigger-gate-'));
  chmodSync(workspaceDir, 0o755);
  worker = await makeWorker(tools, { OUTRIGGER_IDE_ENABLED: 'true', WORKSPACE_DIR: workspaceDir });
  worker.start('serve');
  await until('the IDE', () => worker.state()?.phase === 'Ready');
});
afterAll(async () => {
  expect(await worker.end()).toEqual([]);
  tools.remove();
  rmSync(workspaceDir, { recursive: true, force: true });
});

const url = (path: string): string => `http://127.0.0.1:${String(worker.port)}/${gatePath}${path}`;
const lastAsked = () => worker.asked().at(-1);

describe('the gate, for Coder', () => {
  it('answers its health check', async () => {
    const response = await fetch(url('/healthz'));

    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'expired' });
  });

  it('takes its own path off and leaves the rest as it came', async () => {
    await fetch(url('/a%2Fb/%C3%BC?folder=/workspace/app&x=1%202'));

    expect(lastAsked()?.url).toBe('/a%2Fb/%C3%BC?folder=/workspace/app&x=1%202');
  });

  it.each(['', '?folder=/workspace/app'])(
    'takes its path without a slash as the root, with %j behind it',
    async (query) => {
      await fetch(url(query));

      expect(lastAsked()?.url).toBe(`/${query}`);
    },
  );

  it('carries bodies in both directions, larger than any buffer', async () => {
    const sent = await fetch(url('/upload'), { method: 'POST', body: 'y'.repeat(6_000_000) });
    const chunked = await fetch(url('/upload'), {
      method: 'POST',
      body: new Blob(['z'.repeat(100_000)]).stream(),
      duplex: 'half',
    } as RequestInit);

    expect(await sent.text()).toBe('got 6000000 bytes');
    expect(await chunked.text()).toBe('got 100000 bytes');
    expect((await (await fetch(url('/large'))).arrayBuffer()).byteLength).toBe(8 * 1024 * 1024);
  });

  it('hands the IDE nothing that proves who the person is', async () => {
    await fetch(url(`/?coder_session_token=${tokenCanary}&keep=1&coder%5fapplication_connect_api_key=x`), {
      headers: {
        authorization: `Bearer ${tokenCanary}`,
        'coder-session-token': tokenCanary,
        cookie: `coder_session_token=${tokenCanary}; theme=dark; __Host-coder_session_token=${tokenCanary}`,
      },
    });

    expect(lastAsked()?.url).toBe('/?keep=1');
    expect(lastAsked()?.headers).toMatchObject({ cookie: 'theme=dark' });
    expect(JSON.stringify(lastAsked())).not.toContain(tokenCanary);
    expect(JSON.stringify(lastAsked())).not.toContain(gatePath);
  });

  it('lets the IDE set no cookie of Coder and clear no site, since they share an origin', async () => {
    const response = await fetch(url('/cookies'));

    expect(response.headers.getSetCookie()).toEqual(['theme=dark']);
    expect(response.headers.get('clear-site-data')).toBeNull();
  });

  it('keeps a redirect inside the app, and its own path to itself', async () => {
    const response = await fetch(url('/deep/redirect'), { redirect: 'manual' });

    expect(response.headers.get('location')).toBe('../login?to=1');
  });

  it('carries a WebSocket, and what was sent with its first bytes', async () => {
    const heard = await new Promise<string>((settle, fail) => {
      let text = '';
      const socket = connect({ host: '127.0.0.1', port: worker.port });
      socket.on('error', fail);
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (text.endsWith('first')) socket.write(' second');
        if (text.endsWith('second')) socket.end();
      });
      socket.on('close', () => settle(text));
      socket.write(
        `GET /${gatePath}/socket HTTP/1.1\r\nHost: coder.example\r\nOrigin: https://coder.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\nfirst`,
      );
    });

    expect(heard).toMatch(/^HTTP\/1\.1 101 .*\r\n\r\nfirst second$/s);
    expect(lastAsked()).toMatchObject({
      url: '/socket',
      headers: { host: 'coder.example', origin: 'https://coder.example', connection: 'Upgrade', upgrade: 'websocket' },
    });
  });

  describe('the address of the app', () => {
    const app = '/?folder=/workspace/app&follow=task';
    const opens = async (): Promise<string | null> =>
      (await fetch(url(app), { redirect: 'manual' })).headers.get('location');
    const say = (worktree: unknown): void =>
      writeFileSync(
        join(worker.runDir, 'status.json'),
        JSON.stringify({ state: 'running', doing: 'Working on a task', worktree }),
      );
    const worktrees = (): string => join(workspaceDir, '.outrigger/worktrees');

    it('opens the repository while no task runs, and the files of the task that does', async () => {
      const before = await opens();
      mkdirSync(join(worktrees(), 'agent-fix-it'), { recursive: true });
      say('agent-fix-it');

      expect(before).toBe('?folder=/workspace/app');
      expect(await opens()).toBe(`?folder=${join(worktrees(), 'agent-fix-it')}`);
      say(undefined);
      expect(await opens()).toBe('?folder=/workspace/app');
    });

    it.each([
      ['a way up', '..'],
      ['another folder', '../../../secret'],
      ['a path', '/etc'],
      ['what is not there', 'agent-nothing'],
      ['a link into the home folder', 'agent-link'],
      ['a file', 'agent-file'],
      ['no text', { a: 1 }],
      ['a line of its own', 'a\r\nSet-Cookie: x'],
    ])('opens the repository where the agent says %s', async (_what, worktree) => {
      mkdirSync(worktrees(), { recursive: true });
      if (!existsSync(join(worktrees(), 'agent-link'))) symlinkSync(worker.home, join(worktrees(), 'agent-link'));
      writeFileSync(join(worktrees(), 'agent-file'), '');
      say(worktree);

      expect(await opens()).toBe('?folder=/workspace/app');
    });
  });

  it('says in one sentence what is wrong while the IDE is away', async () => {
    worker.wish(false, 1);
    await until('the IDE to stop', () => worker.state()?.phase === 'Stopped');

    const answer = await sendRaw(worker.port, `GET /${gatePath}/ HTTP/1.1\r\nHost: x\r\n\r\n`);

    expect(answer).toMatch(/^HTTP\/1\.1 503 .*The IDE is not running\. Turn it on in Outrigger\./s);
    expect((await fetch(url('/healthz'))).status).toBe(503);
  });
});
