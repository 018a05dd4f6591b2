import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Database } from '../../service/platform/database.ts';
import { createEngine, type Engine, type EngineOptions } from '../../service/platform/engine.ts';
import { uuidv7 } from '../../service/platform/clock.ts';
import { silentLogger } from '../../service/platform/logger.ts';

/**
 * The real engine on a test database, started after `prepare` named its functions. Stop it before the database is
 * dropped; one may run per process.
 */
export async function startTestEngine(
  database: Database,
  prepare: (engine: Engine) => void,
  options: Partial<EngineOptions> = {},
): Promise<Engine> {
  const engine = createEngine({
    database,
    executorId: uuidv7(),
    log: silentLogger,
    singleProcess: true,
    pollMs: 20,
    ...options,
  });
  prepare(engine);
  await engine.start();
  return engine;
}

/** What the engine in a child process is told: `test/support/engine-process.ts`. */
export interface EngineProcessOptions extends Partial<Omit<EngineOptions, 'database' | 'log'>> {
  readonly url: string;
  readonly cron?: string;
}

export interface EngineProcess {
  readonly executorId: string;
  readonly child: ChildProcess;
  /** SIGKILL, and waits until the process is gone. */
  kill(): Promise<void>;
  /** Asks it to stop in good order; its exit code. */
  stop(): Promise<number | null>;
  /** Its exit code (null after a signal) and what it wrote to stderr. */
  readonly exited: Promise<{ code: number | null; stderr: string }>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
let bundled: Promise<string> | undefined;

/** One file that plain Node runs: half the start-up time of a TypeScript loader, and some tests start a dozen. */
async function bundleEngineProcess(): Promise<string> {
  const bundle = `${root}node_modules/.cache/outrigger/engine-process.mjs`;
  const own = `${bundle}.${process.pid}`;
  await promisify(execFile)(
    `${root}node_modules/esbuild/bin/esbuild`,
    [
      'test/support/engine-process.ts',
      '--bundle',
      '--packages=external',
      '--platform=node',
      '--format=esm',
      `--outfile=${own}`,
    ],
    { cwd: root },
  );
  await rename(own, bundle);
  return bundle;
}

/** Forks a process with an engine; resolves when it started or ended. */
export async function forkEngine(options: EngineProcessOptions): Promise<EngineProcess> {
  const executorId = options.executorId ?? uuidv7();
  const child = fork(await (bundled ??= bundleEngineProcess()), [JSON.stringify({ ...options, executorId })], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const exited = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
  await Promise.race([once(child, 'message'), exited]);
  return {
    executorId,
    child,
    exited,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: async () => {
      if (child.connected) child.send('stop');
      return (await exited).code;
    },
  };
}

/** Polls until `condition` answers something truthy and returns it; fails with `what` after `deadlineMs`. */
export async function until<Value>(
  what: string,
  condition: () => Promise<Value | null | undefined | false> | Value | null | undefined | false,
  deadlineMs = 120_000,
): Promise<Value> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`Waited ${deadlineMs} ms in vain for: ${what}`);
    await sleep(20);
  }
}
