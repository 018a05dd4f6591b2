import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';
import { gatePath, installHelper, makeWorker, sendRaw, tokenCanary, until, type Tools, type Worker } from './world.ts';

/** Path of a real code-server; without one there is nothing to show here. It takes a minute. */
const program = process.env['CODE_SERVER_BIN'] ?? '';
const describeReal = program === '' ? describe.skip : describe;

describeReal('a real code-server behind the gate', () => {
  let tools: Tools;
  let worker: Worker;
  let folder: string;
  beforeAll(async () => {
    tools = await installHelper();
    const place = join(tools.directory, 'real');
    mkdirSync(place);
    writeFileSync(join(place, 'code-server'), `#!/bin/sh\nexec ${program} "$@"\n`);
    chmodSync(join(place, 'code-server'), 0o755);
    worker = await makeWorker(tools, { OUTRIGGER_IDE_ENABLED: 'true', PATH: `${place}:/usr/local/bin:/usr/bin:/bin` });
    folder = join(worker.home, 'app');
    mkdirSync(folder);
    writeFileSync(join(folder, 'README.md'), 'hello\n');
    worker.give('app');
    worker.start('serve');
    await until('the IDE', () => worker.state()?.phase === 'Ready');
  });
  afterAll(async () => {
    await worker.end();
    expect(idePids()).toEqual([]);
    tools.remove();
  });

  const base = (): string => `http://127.0.0.1:${String(worker.port)}/${gatePath}/`;
  const idePids = (): readonly string[] =>
    readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && commandOf(pid).includes(join(worker.home, '.local/share')),
    );

  it('shows its page for a folder, and everything the page names lies under the same path', async () => {
    const page = `${base()}?folder=${folder}`;
    const response = await fetch(page);
    const text = await response.text();
    const named = [...text.matchAll(/(?:src|href)="([^"{}]+\.(?:js|css|json|ico|png|svg))"/g)].map(
      ([, path = '']) => path,
    );
    const answers = await Promise.all(
      named.map(async (path) => [path, (await fetch(new URL(path, page))).status] as const),
    );

    expect(response.status).toBe(200);
    expect(text).toContain('workbench');
    expect(text).not.toContain(gatePath);
    expect(named.length).toBeGreaterThan(2);
    expect(named.filter((path) => path.startsWith('/'))).toEqual([]);
    expect(answers.filter(([, status]) => status !== 200)).toEqual([]);
  });

  it('has the door that the gate closes: any file of the worker for whoever knows the path', async () => {
    const door = 'vscode-remote-resource?path=/proc/self/environ';
    const closed = await sendRaw(worker.port, `GET /${door} HTTP/1.1\r\nHost: x\r\n\r\n`);

    expect(await (await fetch(`${base()}${door}`)).text()).toContain(tokenCanary);
    expect(closed).toMatch(/^HTTP\/1\.1 404 .*\r\n\r\n$/s);
  });

  it('takes a WebSocket of its own page, and none of another origin', async () => {
    const commit = /stable-[0-9a-f]{40}/.exec(await (await fetch(base())).text())?.[0] ?? '';
    const query = 'reconnectionToken=11111111-1111-4111-8111-111111111111&reconnection=false&skipWebSocketFrames=false';
    const open = async (origin: string): Promise<string> =>
      await new Promise((settle) => {
        const socket = new WebSocket(`${base().replace('http', 'ws')}${commit}?${query}`, { origin });
        socket.once('open', () => {
          settle('open');
          socket.terminate();
        });
        socket.once('error', (error) => settle(error.message));
      });

    expect(commit).not.toBe('');
    expect(await open(`http://127.0.0.1:${String(worker.port)}`)).toBe('open');
    expect(await open('https://elsewhere.example')).toMatch(/403/);
  });

  it('listens on no port, and writes nothing into the folder', () => {
    const inodes = new Set(idePids().flatMap(socketsOf));
    const listening = ['tcp', 'tcp6']
      .flatMap((table) => readFileSync(`/proc/net/${table}`, 'utf8').trimEnd().split('\n').slice(1))
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.has(inode ?? ''));

    expect(idePids().length).toBeGreaterThan(1);
    expect(inodes.size).toBeGreaterThan(0);
    expect(listening).toEqual([]);
    expect(readdirSync(folder)).toEqual(['README.md']);
  });

  it('starts again in place after it was ended, and is gone when it is not wanted', async () => {
    worker.wish(false, 1);
    await until('the end', () => worker.state()?.phase === 'Stopped' && worker.state()?.generation === 1);
    expect(idePids()).toEqual([]);

    worker.wish(true, 2);
    await until('the IDE again', () => worker.state()?.phase === 'Ready');
    expect((await fetch(`${base()}healthz`)).status).toBe(200);
  });

  it('is run without its git in a folder nobody trusts', () => {
    const root = /^(.*)\/(?:out|lib)\//.exec(
      idePids()
        .map(commandOf)
        .find((command) => command.includes('/out/node/entry')) ?? '',
    );
    const manifest = join(root?.[1]?.split(' ').at(-1) ?? '', 'lib/vscode/extensions/git/package.json');
    const { capabilities } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      capabilities: { untrustedWorkspaces: { supported: boolean } };
    };

    expect(capabilities.untrustedWorkspaces.supported).toBe(false);
  });
});

function commandOf(pid: string): string {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    // A child of the IDE is started without its flags.
    return command.includes('--user-data-dir') || Number(parent) < 2 ? command : `${command} ${flagsOf(parent)}`;
  } catch {
    return '';
  }
}

function flagsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined ? [] : [inode];
    });
  } catch {
    return [];
  }
}
