import {
  chmodSync,
  mkdirSync,
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
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { harnessPassword } from '../../../../modules/opencode/bridge/harness-password.ts';
import type { Log } from '../../../../modules/opencode/bridge/log.ts';
import { makeStatusFile, type Status } from '../../../../modules/opencode/bridge/status-file.ts';
import { facts } from '../../../../modules/workspace/helper/facts.ts';
import {
  aLease,
  harnessKeyCanary,
  installTools,
  processesOf,
  readIfThere,
  until,
  type Tools,
} from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';
import { run, type Finished } from '../../../support/terraform/terraform.ts';

/** The part that says which session can be joined. */
type Joining = Omit<Status, 'doing' | 'git'>;
const joining = ({ state, task_id, attempt, port, session_id }: Status): Joining => ({
  state,
  task_id,
  attempt,
  port,
  session_id,
});
const idle: Joining = { state: 'idle', task_id: null, attempt: null, port: null, session_id: null };
const statusIn = (place: string): Joining =>
  joining(JSON.parse(readFileSync(join(place, 'status.json'), 'utf8')) as Status);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-status-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('status.json', () => {
  const lines: string[] = [];
  const log: Log = (level, message) => void lines.push(`${level} ${message}`);
  beforeEach(() => void lines.splice(0));
  const [one, two] = [
    { task_id: aLease('').task_id, attempt: 1 },
    { task_id: aLease('').task_id, attempt: 4 },
  ];

  it('says idle from the start, whatever a killed bridge left', () => {
    writeFileSync(join(directory, 'status.json'), JSON.stringify({ ...one, state: 'running', port: 4096 }));

    makeStatusFile(directory, log);

    expect(statusIn(directory)).toEqual(idle);
    expect(lines).toEqual([]);
  });

  it('tells the newest attempt, then the older one that still runs, then idle', () => {
    const file = makeStatusFile(directory, log);

    const older = file.open(one);
    older.tell({ state: 'running', port: 4001 });
    const newer = file.open(two);
    const seen = [statusIn(directory)];
    older.tell({ session_id: 'ses_1' });
    seen.push(statusIn(directory));
    newer.close();
    seen.push(statusIn(directory));
    older.close();
    older.tell({ state: 'running' });
    seen.push(statusIn(directory));

    expect(seen).toEqual([
      { ...idle, ...two, state: 'starting' },
      { ...idle, ...two, state: 'starting' },
      { ...one, state: 'running', port: 4001, session_id: 'ses_1' },
      idle,
    ]);
  });

  it('says that the worker is waited for, until it is there, in words that the worker shows', () => {
    const file = makeStatusFile(directory, log);
    file.tellWaiting(true);
    const waiting = statusIn(directory);
    const shown = facts.agent(directory);
    const attempt = file.open(one);
    const working = facts.agent(directory);
    attempt.close();
    file.tellWaiting(false);

    expect([waiting, shown]).toEqual([idle, 'Waiting for the worker to start']);
    expect([working, facts.agent(directory)]).toEqual(['Starting OpenCode', 'Waiting for work']);
  });

  it('is readable for everybody whatever the umask, and leaves no second file', () => {
    const umask = process.umask(0o077);
    try {
      makeStatusFile(directory, log).open(one);
    } finally {
      process.umask(umask);
    }

    expect(statSync(join(directory, 'status.json')).mode & 0o777).toBe(0o644);
    expect(readdirSync(directory)).toEqual(['status.json']);
  });

  it('follows no link that was put in its place', () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'mine');
    for (const name of ['status.json', 'status.json.next']) symlinkSync(victim, join(directory, name));

    makeStatusFile(directory, log);

    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(statusIn(directory)).toEqual(idle);
  });

  it('is done without, after one log line, where its directory is missing, and comes back with it', () => {
    const missing = join(directory, 'missing');
    const file = makeStatusFile(missing, log);

    const attempt = file.open(one);
    expect(readdirSync(directory)).toEqual([]);
    mkdirSync(missing);
    attempt.tell({ state: 'running' });

    expect(lines).toEqual([expect.stringMatching(/^warn the status file cannot be written/)]);
    expect(statusIn(missing)).toMatchObject({ ...one, state: 'running' });
  });
});

describe('the terminal app `opencode` against a real attempt', () => {
  let tools: Tools;
  let world: World | undefined;
  beforeAll(async () => {
    tools = await installTools();
  });
  afterAll(() => tools.remove());
  afterEach(async () => {
    const left = await world?.end();
    world = undefined;
    expect(left).toEqual([]);
  });

  const start = async (runDir: string): Promise<World> => {
    chmodSync(directory, 0o755);
    world = await startWorld({ tools, environment: () => ({ OUTRIGGER_RUN_DIR: runDir }) });
    return world;
  };
  const makeRunDir = (): string => {
    const place = join(directory, 'run');
    mkdirSync(place);
    chmodSync(place, 0o777);
    return place;
  };
  const running = async (place: string): Promise<Joining> =>
    await until('a session to join', () => {
      const text = readIfThere(join(place, 'status.json'));
      const status = text === null ? null : joining(JSON.parse(text) as Status);
      return status !== null && status.session_id !== null && status;
    });

  /** The real attach.sh, with an `opencode` that tells what it was started with. */
  const attach = async (runDir: string): Promise<Finished> => {
    const fake = join(directory, 'fake-tools');
    mkdirSync(fake, { recursive: true });
    writeFileSync(join(fake, 'opencode'), '#!/bin/sh\nprintf "%s\\n" "$@" "$OPENCODE_SERVER_PASSWORD"\n', {
      mode: 0o755,
    });
    return await run('sh', [fileURLToPath(new URL('../../../../modules/opencode/attach.sh', import.meta.url))], {
      environment: { TOOLS_DIR: fake, OUTRIGGER_RUN_DIR: runDir, OUTRIGGER_HARNESS_KEY: harnessKeyCanary },
    });
  };

  it('joins its session with what the status file and the key give, and finds nothing once it is over', async () => {
    const runDir = makeRunDir();
    const { service } = await start(runDir);
    const lease = aLease('SCENARIO:bash ARG:echo canaryprompt', { title: 'canarytitle' });
    service.offer(lease);
    const ask = await until('the ask', () => service.asks[0]);

    const status = await running(runDir);
    const joined = await attach(runDir);
    const [command, url, flag, session, password] = joined.stdout.split('\n');
    const look = async (secret = ''): Promise<Response> =>
      await fetch(`${url ?? ''}/session/${session ?? ''}`, {
        headers: { authorization: `Basic ${Buffer.from(`opencode:${secret}`).toString('base64')}` },
      });

    expect(status).toEqual({
      state: 'running',
      task_id: lease.task_id,
      attempt: 1,
      port: expect.any(Number),
      session_id: expect.stringMatching(/^ses_/),
    });
    expect(joined).toMatchObject({ code: 0, stderr: '' });
    expect({ command, url, flag, session, password }).toEqual({
      command: 'attach',
      url: `http://127.0.0.1:${String(status.port)}`,
      flag: '--session',
      session: status.session_id,
      password: harnessPassword(harnessKeyCanary, lease),
    });
    expect((await look()).status).toBe(401);
    expect(await (await look(password)).json()).toMatchObject({ id: session });

    await service.decide(ask, 'once');
    await until('the result', () => service.resultOf(lease));
    await until('an idle status', () => statusIn(runDir).state === 'idle');

    expect(statusIn(runDir)).toEqual(idle);
    expect(await attach(runDir)).toMatchObject({ code: 1, stdout: expect.stringContaining('No task runs') });
  });

  it('is not kept open while the work is checked', async () => {
    const runDir = makeRunDir();
    const { service } = await start(runDir);
    const lease = aLease('SCENARIO:write ARG:one.txt|1\n', { verify: { argv: ['true'], timeout_seconds: 5 } });
    service.offer(lease);
    const ask = await until('the verify ask', () => service.asks[0]);

    expect(statusIn(runDir)).toMatchObject({ state: 'finishing', task_id: lease.task_id, port: null });
    expect(await attach(runDir)).toMatchObject({ code: 1, stdout: expect.stringContaining('being checked') });

    await service.decide(ask, 'once');
    await until('the result', () => service.resultOf(lease));
  });

  it('finds nothing after kill -9 and a new start of the bridge', async () => {
    const runDir = makeRunDir();
    const one = await start(runDir);
    const lease = aLease('SCENARIO:hang');
    one.service.offer(lease);
    await running(runDir);

    one.bridge.kill('SIGKILL');
    await one.bridge.exited;
    expect(statusIn(runDir)).toMatchObject({ state: 'running', task_id: lease.task_id });
    await until('the killed attempt to be gone', () => processesOf(`${tools.directory}/opencode serve`).length === 0);
    one.restart();
    await until('an idle status', () => statusIn(runDir).state === 'idle');
    await until('the new bridge to register', () => one.service.registrations.length === 2);

    expect(await attach(runDir)).toMatchObject({ code: 1, stdout: expect.stringContaining('No task runs') });
  });

  it('says idle when the bridge was told to end in the middle of an attempt', async () => {
    const runDir = makeRunDir();
    const { service, bridge } = await start(runDir);
    service.offer(aLease('SCENARIO:hang'));
    await running(runDir);

    bridge.kill('SIGTERM');
    await bridge.exited;

    expect(statusIn(runDir)).toEqual(idle);
  });

  it('costs an attempt nothing where the directory of the status is missing', async () => {
    const { service, bridge } = await start(join(directory, 'missing'));
    const lease = aLease('SCENARIO:write ARG:one.txt|1\n');

    service.offer(lease);
    const evidence = await until('the result', () => service.resultOf(lease));

    expect(evidence).toMatchObject({ failure: null, changed_files: ['one.txt'] });
    expect(bridge.lines.filter((line) => line.includes('status file'))).toHaveLength(1);
    expect(readdirSync(directory)).not.toContain('missing');
  });
});
