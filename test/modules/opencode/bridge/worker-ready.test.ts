import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { bridgeEnvironment } from '../../../../modules/contract.ts';
import { SettingsError, takeSettings } from '../../../../modules/opencode/bridge/settings.ts';
import { watchWorker, type WorkerWatch } from '../../../../modules/opencode/bridge/worker-ready.ts';
import { readStatus } from '../../../../modules/workspace/helper/run-files.ts';
import { installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-run-'));
  chmodSync(directory, 0o777);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const clonesEnded = (): void => writeFileSync(join(directory, 'cloned'), '');
const gateStands = (): void =>
  writeFileSync(join(directory, 'ide-state.json'), '{"phase":"Stopped","message":"","generation":0}');

describe('the wait for the worker', () => {
  let watch: WorkerWatch;
  let nowMs: number;
  let calls: number;
  const lines: { level: string; message: string; fields: object }[] = [];
  const never = 2_147_483_647;
  const start = (isAwaited: boolean, lookMs = never): WorkerWatch =>
    (watch = watchWorker({
      isAwaited,
      directory,
      lookMs,
      nowMs: () => nowMs,
      onReady: () => (calls += 1),
      log: (level, message, fields = {}) => lines.push({ level, message, fields }),
    }));
  beforeEach(() => {
    lines.length = 0;
    [nowMs, calls] = [0, 0];
  });
  afterEach(() => watch.end());

  it('is none where nobody asked for it', () => {
    start(false);

    expect(watch.isReady()).toBe(true);
    expect(lines).toEqual([]);
  });

  it.each([
    ['the clones', clonesEnded, gateStands],
    ['the gate', gateStands, clonesEnded],
  ])('ends when the other has come too after %s, and does not begin again', (_what, first, second) => {
    start(true);
    const answers = [watch.isReady()];
    for (const comes of [first, second]) {
      comes();
      answers.push(watch.isReady());
    }
    for (const name of ['cloned', 'ide-state.json']) rmSync(join(directory, name));
    answers.push(watch.isReady());

    expect(answers).toEqual([false, false, true, true]);
  });

  it('calls back once when both have come, without anybody asking', async () => {
    start(true, 1);
    clonesEnded();
    gateStands();
    await until('the call', () => calls > 0);
    watch.isReady();

    expect(calls).toBe(1);
  });

  it('says at once what is missing and again each minute, and never gives up', () => {
    start(true);
    clonesEnded();
    for (nowMs = 0; nowMs <= 3_600_000; nowMs += 20_000) watch.isReady();

    expect(watch.isReady()).toBe(false);
    expect(lines).toHaveLength(61);
    expect(lines[0]).toMatchObject({ level: 'info', fields: { missing: ['cloned', 'ide-state.json'], waited_ms: 0 } });
    expect(lines.slice(1).map(({ level, fields }) => [level, fields])).toEqual(
      Array.from({ length: 60 }, (_none, index) => [
        'warn',
        { missing: ['ide-state.json'], waited_ms: (index + 1) * 60_000 },
      ]),
    );
  });

  it('does not take a link, a folder or a FIFO for a file, and opens none of them', () => {
    const elsewhere = join(directory, 'elsewhere');
    writeFileSync(elsewhere, '');
    gateStands();
    start(true);
    const path = join(directory, 'cloned');
    const answers = [
      () => symlinkSync(elsewhere, path),
      () => mkdirSync(path),
      () => execFileSync('mkfifo', [path]),
    ].map((make) => {
      make();
      const answer = watch.isReady();
      rmSync(path, { recursive: true });
      return answer;
    });

    expect(answers).toEqual([false, false, false]);
  });

  it('is asked for by a variable that is true or false and nothing else', () => {
    const needed = { url: 'http://x', proof: 'p', workspaceId: 'w', workspaceAgentId: 'a', harnessKey: 'k' } as const;
    const asked = (value?: string): boolean =>
      takeSettings({
        ...Object.fromEntries(
          Object.entries(needed).map(([name, text]) => [bridgeEnvironment[name as keyof typeof needed], text]),
        ),
        [bridgeEnvironment.awaitWorker]: value,
      }).awaitsWorker;
    start(false);

    expect([undefined, '', 'false', 'true'].map(asked)).toEqual([false, false, false, true]);
    expect(() => asked('yes')).toThrow(SettingsError);
    expect(() => asked('yes')).toThrow('OUTRIGGER_AWAIT_WORKER must be true or false');
  });
});

describe('a bridge that waits for the worker', () => {
  let tools: Tools;
  let world: World;
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  beforeEach(async () => {
    world = await startWorld({
      tools,
      environment: () => ({
        [bridgeEnvironment.awaitWorker]: 'true',
        [bridgeEnvironment.runDir]: directory,
      }),
    });
  });
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });

  const heard = (type: string): number => world.service.frames.filter((frame) => frame.type === type).length;
  const heartbeats = async (more: number): Promise<void> => {
    const before = heard('heartbeat');
    await until('heartbeats', () => heard('heartbeat') >= before + more);
  };
  /** What people read of the agent. */
  const doing = (): string | undefined => readStatus(directory)?.doing;
  const says = (text: string): boolean => world.bridge.lines.some((line) => line.includes(text));

  it('is connected and heard, but takes no work, not even when it is woken, until clones and gate are there', async () => {
    const { service } = world;
    await heartbeats(2);
    const woken = await service.send('wake', {});
    clonesEnded();
    await heartbeats(3);
    service.cut();
    await heartbeats(2);
    const [asked, claimed, told] = [heard('lease'), says('ready for work'), doing()];
    const waits = says('no work is taken before the worker is ready');
    gateStands();
    await until('the first lease request', () => heard('lease') > 0);
    await until('the status to say so', () => doing() === 'Waiting for work');

    expect(woken).toMatchObject({ success: true });
    expect([asked, claimed, waits]).toEqual([0, false, true]);
    expect(told).toBe('Waiting for the worker to start');
  });

  it('goes on at once when it is started again in a workspace that has started', async () => {
    clonesEnded();
    gateStands();
    await until('the first lease request', () => heard('lease') > 0);
    world.bridge.kill('SIGKILL');
    await world.bridge.exited;
    const asked = heard('lease');
    world.restart();
    await until('its lease request', () => heard('lease') > asked);

    expect(says('no work is taken')).toBe(false);
    expect(doing()).toBe('Waiting for work');
  });
});
