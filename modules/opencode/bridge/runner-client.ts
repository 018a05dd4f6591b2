import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Log } from './log.ts';
import { signal, sweepLimitMs, type SweepResult } from './process-tree.ts';
import { execGraceMs } from './runner-exec.ts';
import type {
  ExecCommand,
  ExecResult,
  RunnerCommands,
  RunnerCommandType,
  RunnerLine,
  RunnerResults,
} from './runner-protocol.ts';

/**
 * The bridge's end of one runner.
 *
 * Every request has a deadline: a tool runs as the same user and can stop the runner by a signal. A runner that
 * overruns is killed before the request fails, so that what it held is the bridge's to sweep.
 */
export interface Runner {
  readonly pid: number;
  /** False where a daemonized tool could leave the tree, because the kernel was out of reach. */
  readonly subreaper: boolean;
  serve(command: RunnerCommands['serve']): Promise<{ pid: number }>;
  exec(command: ExecCommand): Promise<ExecResult>;
  sweep(termMs: number): Promise<SweepResult>;
  /** Resolves when the harness that `serve` started last has ended. */
  serveEnded(): Promise<ServeExit>;
  /** Resolves when the runner itself is gone. */
  readonly exited: Promise<void>;
  /** True when the runner outlived KILL: then nothing can be said about what is below it. */
  isStuck(): boolean;
  /** Ends the runner, and with it everything below. */
  close(): Promise<void>;
}

export interface ServeExit {
  readonly code: number | null;
  readonly tail: string;
}

export interface RunnerProgram {
  readonly execPath: string;
  readonly bundle: string;
  readonly path: string;
  /** Told of the pid at once, before the runner is ready. */
  readonly onSpawn: (pid: number) => void;
  readonly log?: Log;
}

const startMs = 60_000;
const serveMs = 30_000;
/** How long a killed runner may take to be gone. */
const deathMs = 2_000;

/**
 * Starts a runner.
 *
 * It gets no environment but PATH, and `/` as directory: the runtime loads `bunfig.toml` and `.env` from where it
 * is started, and both could be planted in a workspace.
 */
export async function startRunner(program: RunnerProgram): Promise<Runner> {
  const child = spawn(program.execPath, [program.bundle, 'runner'], {
    cwd: '/',
    env: { BUN_BE_BUN: '1', PATH: program.path },
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.pid) program.onSpawn(child.pid);
  const waiting = new Map<number, { resolve(data: unknown): void; reject(error: Error): void }>();
  let nextId = 1;
  let isGone = false;
  let isStuck = false;
  let ready: (line: Extract<RunnerLine, { notice: 'ready' }>) => void = () => undefined;
  let serveEnd = deferred<ServeExit>();
  const exited = new Promise<void>((resolve) => {
    const gone = (): void => {
      isGone = true;
      for (const one of waiting.values()) one.reject(new Error('The runner of the attempt is gone.'));
      waiting.clear();
      serveEnd.resolve({ code: null, tail: '' });
      resolve();
    };
    child.once('exit', gone);
    child.once('error', gone);
  });

  /** Resolves when the runner is gone, or after `deathMs`. */
  async function kill(): Promise<void> {
    if (isGone || !child.pid) return;
    signal(child.pid, 'SIGCONT');
    signal(child.pid, 'SIGKILL');
    isStuck = (await within(exited, deathMs)) === late;
  }

  function received(text: string): void {
    const line = parseLine(text);
    if (!line) {
      // Its length only: what a program prints may hold a secret.
      program.log?.('warn', 'a line of the runner is ignored: it is not of its protocol', { length: text.length });
      return;
    }
    if ('notice' in line) {
      if (line.notice === 'ready') ready(line);
      else serveEnd.resolve({ code: line.code, tail: line.tail });
      return;
    }
    const caller = waiting.get(line.id);
    waiting.delete(line.id);
    if (line.ok) caller?.resolve(line.data);
    else caller?.reject(new Error(line.error));
  }

  function send<Type extends RunnerCommandType>(
    type: Type,
    payload: RunnerCommands[Type],
    limitMs: number,
  ): Promise<RunnerResults[Type]> {
    if (isGone) return Promise.reject(new Error('The runner of the attempt is gone.'));
    const id = nextId++;
    const answer = new Promise<RunnerResults[Type]>((resolve, reject) => {
      waiting.set(id, { resolve: (data) => resolve(data as RunnerResults[Type]), reject });
      child.stdin.write(`${JSON.stringify({ id, type, payload })}\n`);
    });
    return within(answer, limitMs).then(async (data) => {
      if (data !== late) return data;
      waiting.delete(id);
      program.log?.('error', 'the runner did not answer and is killed', { request: type, limit_ms: limitMs });
      await kill();
      throw new Error(`The runner of the attempt did not answer a ${type} within ${limitMs} ms and was killed.`);
    });
  }

  /** A runner that a tool has stopped goes on; for any other it means nothing. */
  const wake = (): void => {
    if (!isGone && child.pid) signal(child.pid, 'SIGCONT');
  };

  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', received);
  const hello = await within(
    Promise.race([
      new Promise<Extract<RunnerLine, { notice: 'ready' }>>((resolve) => (ready = resolve)),
      exited.then(() => null),
    ]),
    startMs,
  );
  if (hello === late) await kill();
  if (!hello || hello === late) throw new Error('The runner of the attempt could not be started.');
  return {
    pid: child.pid ?? 0,
    subreaper: hello.subreaper,
    serve: (command) => {
      serveEnd = deferred<ServeExit>();
      return send('serve', command, serveMs);
    },
    exec: (command) => send('exec', command, command.timeout_ms + execGraceMs),
    sweep: (termMs) => {
      wake();
      return send('sweep', { term_ms: termMs }, sweepLimitMs(termMs));
    },
    serveEnded: () => serveEnd.promise,
    exited,
    isStuck: () => isStuck && !isGone,
    close: async () => {
      child.stdin.end();
      wake();
      if ((await within(exited, sweepLimitMs(0))) === late) await kill();
    },
  };
}

/** Null for what is not a line of the protocol. */
function parseLine(text: string): RunnerLine | null {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== 'object' || line === null) return null;
    return 'notice' in line || ('id' in line && 'ok' in line) ? (line as RunnerLine) : null;
  } catch {
    return null;
  }
}

const late = Symbol('late');

function within<Value>(result: Promise<Value>, limitMs: number): Promise<Value | typeof late> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<typeof late>((resolve) => (timer = setTimeout(() => resolve(late), limitMs)));
  return Promise.race([result, limit]).finally(() => clearTimeout(timer));
}

function deferred<Value>() {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}
