import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { SweepResult } from './process-tree.ts';
import type {
  ExecCommand,
  ExecResult,
  RunnerCommands,
  RunnerCommandType,
  RunnerLine,
  RunnerResults,
} from './runner-protocol.ts';

/** The bridge's end of one runner. */
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
}

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

  function received(text: string): void {
    const line = JSON.parse(text) as RunnerLine;
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
  ): Promise<RunnerResults[Type]> {
    if (isGone) return Promise.reject(new Error('The runner of the attempt is gone.'));
    const id = nextId++;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve: (data) => resolve(data as RunnerResults[Type]), reject });
      child.stdin.write(`${JSON.stringify({ id, type, payload })}\n`);
    });
  }

  child.stdin.on('error', () => undefined);
  createInterface({ input: child.stdout }).on('line', received);
  const hello = await Promise.race([
    new Promise<Extract<RunnerLine, { notice: 'ready' }>>((resolve) => (ready = resolve)),
    exited.then(() => null),
  ]);
  if (!hello) throw new Error('The runner of the attempt could not be started.');
  return {
    pid: child.pid ?? 0,
    subreaper: hello.subreaper,
    serve: (command) => {
      serveEnd = deferred<ServeExit>();
      return send('serve', command);
    },
    exec: (command) => send('exec', command),
    sweep: (termMs) => send('sweep', { term_ms: termMs }),
    serveEnded: () => serveEnd.promise,
    exited,
    close: () => {
      child.stdin.end();
      return exited;
    },
  };
}

function deferred<Value>() {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}
