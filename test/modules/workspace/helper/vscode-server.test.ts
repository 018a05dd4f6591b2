import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gatePath, installHelper, makeWorker, sendRaw, tokenCanary, until, type Tools, type Worker } from './world.ts';

/**
 * Path of a real server of Visual Studio Code; without one there is nothing to show here. code-server holds it too:
 * `node lib/vscode/out/server-main.js`, with relative addresses in its page.
 */
const program = process.env['VSCODE_SERVER_BIN'] ?? '';
const describeReal = program === '' ? describe.skip : describe;

describeReal('a real server of Visual Studio Code behind the gate', () => {
  let tools: Tools;
  let worker: Worker;
  beforeAll(async () => {
    tools = await installHelper();
    const place = join(tools.directory, 'real');
    mkdirSync(place);
    writeFileSync(join(place, 'openvscode-server'), `#!/bin/sh\nexec ${program} "$@"\n`);
    chmodSync(join(place, 'openvscode-server'), 0o755);
    worker = await makeWorker(tools, {
      OUTRIGGER_IDE: 'openvscode-server',
      OUTRIGGER_IDE_ENABLED: 'true',
      OUTRIGGER_ALLOWED_EXTENSIONS: 'golang.go',
      PATH: `${place}:/usr/local/bin:/usr/bin:/bin`,
    });
    worker.start('serve');
    await until('the IDE', () => worker.state()?.phase === 'Ready');
  });
  afterAll(async () => {
    expect(await worker.end()).toEqual([]);
    tools.remove();
  });

  const base = (): string => `http://127.0.0.1:${String(worker.port)}/${gatePath}/`;

  it('takes every argument, is healthy, and shows its page', async () => {
    const page = await fetch(`${base()}?folder=/tmp`);

    expect((await fetch(`${base()}healthz`)).status).toBe(200);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('workbench')]);
    const log = readFileSync(join(worker.home, '.local/share/outrigger-ide/ide.log'), 'utf8');
    expect(log).not.toMatch(/not supported for server|Ignoring option/);
  });

  it('has the door that the gate closes, on a socket that only its user opens', async () => {
    const door = 'vscode-remote-resource?path=/proc/self/environ';
    const closed = await sendRaw(worker.port, `GET /${door} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const log = readFileSync(join(worker.home, '.local/share/outrigger-ide/ide.log'), 'utf8');
    const [, socket = ''] = /listening on (\/\S+)/.exec(log) ?? [];

    expect(await (await fetch(`${base()}${door}`)).text()).toContain(tokenCanary);
    expect(closed).toMatch(/^HTTP\/1\.1 404 .*\r\n\r\n$/s);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
  });
});
