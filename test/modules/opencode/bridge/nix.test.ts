import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { bridgeEnvironment } from '../../../../modules/contract.ts';
import { nixEnvironment } from '../../../../modules/opencode/bridge/harness-nix.ts';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let nixDir: string;
let file: string;

beforeEach(() => {
  nixDir = mkdtempSync(join(tmpdir(), 'outrigger-store-'));
  file = join(nixDir, 'var/outrigger/environment.json');
  mkdirSync(dirname(file), { recursive: true });
  // The bridge of the tests is another user.
  chmodSync(nixDir, 0o755);
  mkdirSync(join(nixDir, 'bin'));
  writeFileSync(join(nixDir, 'bin/mytool'), '#!/bin/sh\necho "from nix: $MY_VALUE"\n', { mode: 0o755 });
  symlinkSync('/bin/false', join(nixDir, 'bin/opencode'));
});
afterEach(() => rmSync(nixDir, { recursive: true, force: true }));

const compute = (): void =>
  writeFileSync(file, JSON.stringify({ path: [join(nixDir, 'bin')], variables: { MY_VALUE: 'it is\nset' } }));

describe('the tools of workspace.nix', () => {
  let tools: Tools;
  let world: World;

  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  beforeEach(async () => {
    world = await startWorld({ tools, environment: () => ({ [bridgeEnvironment.nixDir]: nixDir }) });
  });
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });

  it('are waited for, and then first in the shell of the agent and of verify, behind /tools (part of P-29)', async () => {
    const { service, workspace } = world;
    const lease = aLease('SCENARIO:bash ARG:mytool > made.txt; echo "$PATH" >> made.txt', {
      profile: 'trusted',
      verify: { argv: ['mytool'], timeout_seconds: 20 },
    });

    service.offer(lease);
    await until('the notice', () =>
      service.eventsOf(lease).find((event) => JSON.stringify(event).includes('Waiting for the tools')),
    );
    compute();
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(workspace.git('show', `${lease.branch}:made.txt`)).toMatch(
      new RegExp(`^from nix: it is\nset\n${tools.directory}:${nixDir}/bin:/`),
    );
    expect(evidence).toMatchObject({ failure: null, verify: { exit: 0, output: 'from nix: it is\nset\n' } });
  });
});

describe('what the worker computed of workspace.nix', () => {
  const read = (more: object = {}) =>
    nixEnvironment({
      nixDir,
      signal: new AbortController().signal,
      onWait: () => undefined,
      limitMs: 0,
      everyMs: 1,
      ...more,
    });

  it('is nothing in an image without Nix, after a stop, and when it never comes', async () => {
    const nothing = { path: [], variables: {} };

    expect(await read({ nixDir: null, limitMs: 60_000 })).toEqual(nothing);
    expect(await read({ signal: AbortSignal.abort(), limitMs: 60_000 })).toEqual(nothing);
    expect(await read()).toEqual(nothing);
  });

  it.each([
    '',
    'null',
    '[]',
    '"x"',
    '{"path":1,"variables":2}',
    '{"path":["bin","/a:/b",7],"variables":{"a b":"","A":1}}',
  ])('is nothing when it reads %s', async (text) => {
    writeFileSync(file, text);

    expect(await read({ limitMs: 60_000 })).toEqual({ path: [], variables: {} });
  });

  it('is read from no link, folder or file beyond a mebibyte', async () => {
    compute();
    const nothing = { path: [], variables: {} };
    const ways = [
      () => symlinkSync('/etc/hostname', file),
      () => mkdirSync(file),
      () => writeFileSync(file, JSON.stringify({ path: ['/a'], variables: { A: 'x'.repeat(1024 * 1024) } })),
    ];
    expect((await read()).path).toHaveLength(1);
    for (const way of ways) {
      rmSync(file, { recursive: true, force: true });
      way();
      expect(await read({ limitMs: 60_000 })).toEqual(nothing);
    }
  });
});
