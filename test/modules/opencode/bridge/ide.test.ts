import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { IdeReport, IdeState, IdeWish } from '../../../../modules/contract.ts';
import { makeIde, type Ide } from '../../../../modules/opencode/bridge/ide.ts';
import { aLease, installTools, readIfThere, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-ide-'));
  chmodSync(directory, 0o777);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const wishIn = (place: string): IdeWish => JSON.parse(readFileSync(join(place, 'ide.json'), 'utf8')) as IdeWish;
const say = (place: string, state: IdeState): void =>
  writeFileSync(join(place, 'ide-state.json'), JSON.stringify(state));

describe('the wish for an IDE', () => {
  let ide: Ide;
  beforeEach(() => {
    ide = makeIde({ directory, log: () => undefined, onChange: () => undefined });
  });
  afterEach(() => ide.end());

  it('grows with each change, stays with a repetition, and goes on from what an earlier bridge wrote', () => {
    const generations = [true, true, false, true].map((enabled) => {
      ide.wish(enabled);
      return wishIn(directory);
    });
    const later = makeIde({ directory, log: () => undefined, onChange: () => undefined });
    later.wish(true);
    later.wish(false);
    later.end();

    expect(generations).toEqual([
      { enabled: true, generation: 1 },
      { enabled: true, generation: 1 },
      { enabled: false, generation: 2 },
      { enabled: true, generation: 3 },
    ]);
    expect(wishIn(directory)).toEqual({ enabled: false, generation: 4 });
  });

  it('is wished anew where the IDE failed, and is above whatever the worker has seen', () => {
    ide.wish(true);
    say(directory, { phase: 'Failed', message: 'no code-server', generation: 1 });
    ide.wish(true);
    const again = wishIn(directory);
    rmSync(join(directory, 'ide.json'));
    say(directory, { phase: 'Ready', message: '', generation: 7 });
    ide.wish(true);

    expect(again).toEqual({ enabled: true, generation: 2 });
    expect(wishIn(directory)).toEqual({ enabled: true, generation: 8 });
  });

  it('is written whole, readable for the worker, and through no link that was put in its place', () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'mine');
    for (const name of ['ide.json', 'ide.json.next']) symlinkSync(victim, join(directory, name));
    const umask = process.umask(0o077);
    try {
      ide.wish(true);
    } finally {
      process.umask(umask);
    }

    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(statSync(join(directory, 'ide.json')).mode & 0o777).toBe(0o644);
    expect(readdirSync(directory).sort()).toEqual(['ide.json', 'victim']);
  });

  it('is refused with a sentence where the shared directory is missing', () => {
    rmSync(directory, { recursive: true });

    expect(() => ide.wish(true)).toThrow('Rebuild the workspace');
    expect(ide.report()).toEqual({ enabled: null, phase: null, message: '' });
  });
});

describe('what the worker says of the IDE', () => {
  const report = (): IdeReport => {
    const ide = makeIde({ directory, log: () => undefined, onChange: () => undefined });
    ide.end();
    return ide.report();
  };
  const wish = (): void => writeFileSync(join(directory, 'ide.json'), '{"enabled":true,"generation":3}\n');
  const nothing: IdeReport = { enabled: true, phase: null, message: '' };

  it('counts where it is about the wish in force, or where nobody has wished', () => {
    say(directory, { phase: 'Ready', message: '', generation: 0 });
    const unasked = report();
    wish();
    const old = report();
    say(directory, { phase: 'Starting', message: 'installing', generation: 3 });

    expect(unasked).toEqual({ enabled: null, phase: 'Ready', message: '' });
    expect(old).toEqual(nothing);
    expect(report()).toEqual({ enabled: true, phase: 'Starting', message: 'installing' });
  });

  const secret = (): string => {
    const file = join(directory, 'secret');
    writeFileSync(file, JSON.stringify({ phase: 'Ready', message: 'canary', generation: 3 }));
    return file;
  };
  const file = (): string => join(directory, 'ide-state.json');
  const text = (value: unknown) => (): void => writeFileSync(file(), JSON.stringify(value));
  const good = { phase: 'Ready', message: '', generation: 3 };

  it.each<[string, () => void]>([
    ['is a link to a secret', () => symlinkSync(secret(), file())],
    ['is a FIFO that nobody writes to', () => execFileSync('mkfifo', [file()])],
    ['is a directory', () => execFileSync('mkdir', [file()])],
    ['is a device', () => symlinkSync('/dev/zero', file())],
    ['is 100 MB long', () => execFileSync('truncate', ['--size=100M', file()])],
    ['is nested deeply', () => writeFileSync(file(), '['.repeat(4_000))],
    ['is no JSON', () => writeFileSync(file(), '{"phase":"Ready"')],
    ['is null', text(null)],
    ['is a list', text([good])],
    ['has another field', text({ ...good, url: 'http://evil' })],
    ['lacks a field', text({ phase: 'Ready', message: '' })],
    ['has a phase nobody knows', text({ ...good, phase: 'Owned' })],
    ['has a phase that is no text', text({ ...good, phase: ['Ready'] })],
    ['has a message that is no text', text({ ...good, message: { a: 1 } })],
    ['has a generation that is no whole number', text({ ...good, generation: 3.5 })],
    ['has a generation out of bounds', text({ ...good, generation: 1e15 })],
  ])('counts for nothing where it %s', (_title, make) => {
    wish();
    make();

    expect(report()).toEqual(nothing);
  });

  it('is cleaned of what moves a cursor or turns text around, and cut', () => {
    wish();
    say(directory, { ...good, phase: 'Failed', message: `a\u001b]0;x\u0007\n\u202eb\0${'😀'.repeat(200)}` });

    const { message } = report();
    expect(message.startsWith('a ]0;x b 😀')).toBe(true);
    expect(message.length).toBeLessThanOrEqual(300);
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}\p{Surrogate}]/u);
  });
});

describe('the frame `ide` to a real bridge', () => {
  let tools: Tools;
  let world: World;
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  beforeEach(async () => {
    // No heartbeat comes by itself while a test lasts, so that what arrives was caused.
    world = await startWorld({
      tools,
      environment: () => ({ OUTRIGGER_RUN_DIR: directory }),
      service: { heartbeatSeconds: 600 },
    });
    await until('the first heartbeat', () => reports().length === 1);
  });
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });
  const reports = (): IdeReport[] =>
    world.service.frames
      .filter(({ type }) => type === 'heartbeat')
      .map(({ payload }) => (payload as { ide: IdeReport }).ide);

  it('writes the wish, answers with what is known, and the next states arrive as they change (part of I-20)', async () => {
    const { service, bridge } = world;
    const answer = await service.send('ide', { enabled: true });
    say(directory, { phase: 'Starting', message: '', generation: 1 });
    await until('Starting to arrive', () => reports().at(-1)?.phase === 'Starting');
    say(directory, { phase: 'Ready', message: '', generation: 1 });
    await until('Ready to arrive', () => reports().at(-1)?.phase === 'Ready');
    const off = await service.send('ide', { enabled: false });

    expect(answer).toMatchObject({ success: true, data: { ide: { enabled: true, phase: null, message: '' } } });
    expect(off).toMatchObject({ success: true, data: { ide: { enabled: false, phase: null, message: '' } } });
    expect(wishIn(directory)).toEqual({ enabled: false, generation: 2 });
    // The same process as at the start: nothing was restarted for it.
    expect(() => process.kill(bridge.pid, 0)).not.toThrow();
  });

  it('is refused with a sentence where it does not say what is wished', async () => {
    const id = '00000000-0000-4000-8000-000000000001';
    const answer = await world.service.sendRaw({ id, type: 'ide', payload: { enabled: 'yes' } });

    expect(answer).toEqual({ id, success: false, error: 'ide: enabled must be true or false.' });
    expect(readIfThere(join(directory, 'ide.json'))).toBeNull();
  });
});

describe('agent_mode', () => {
  let tools: Tools;
  let world: World;
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());

  /** The harness and its first tool, on a busy machine. */
  const startMs = 150_000;

  /** What the worker's own environment adds: Coder's agent starts scripts with all of it. */
  const worker = {
    CODER: 'true',
    CODER_AGENT_TOKEN: 'canaryagenttoken',
    CODER_AGENT_URL: 'http://127.0.0.1:1',
    GIT_ASKPASS: '/tmp/canaryaskpass',
    GIT_SSH_COMMAND: '/tmp/canarygitssh',
    SSH_AUTH_SOCK: '/tmp/canarysocket',
    VSCODE_PROXY_URI: 'http://canaryproxy',
    TASK_NAMESPACE: 'not-this',
  };

  it.each([
    ['sidecar', {}],
    ['process', worker],
  ])(
    'the same task passes as %s, with its own variables and none of Coder’s (part of S-15, O-44 and O-45)',
    async (_mode, environment) => {
      world = await startWorld({ tools, environment: () => environment });
      const { service, workspace } = world;
      const script = 'echo "$TASK_ID $TASK_NAME $TASK_NAMESPACE" > made.txt; env | grep -c canary >> made.txt';
      const lease = aLease(`SCENARIO:bash ARG:${script}; true`);
      service.offer(lease);
      await service.decide(await until('the ask', () => service.asks[0], startMs), 'once');
      const evidence = await until('the result', () => service.resultOf(lease));
      const made = workspace.git('show', `${lease.branch}:made.txt`);
      const stopped = aLease('SCENARIO:bash ARG:setsid sleep 313 & sleep 314', { profile: 'trusted' });
      service.offer(stopped);
      await until(
        'the tool to run',
        () => service.eventsOf(stopped).some(({ type }) => type === 'tool.started'),
        startMs,
      );
      const reply = await service.send('stop', { task_id: stopped.task_id, attempt: 1, reason: 'UserStopped' });

      expect(evidence).toMatchObject({ failure: null, changed_files: ['made.txt'], last_message: { finish: 'stop' } });
      expect(made).toBe(`${lease.task_id} Do the thing acme\n0`);
      expect(reply).toMatchObject({ success: true, data: { receipt: { processes_left: 0 } } });
    },
    3 * startMs,
  );
});
