import { spawn } from 'node:child_process';

/** How a program ended. */
export interface Ran {
  /** Null where it could not be started, or was ended from outside. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** It could not be started; `stderr` says why. */
  readonly isMissing: boolean;
  /** It was ended because its time was up. */
  readonly isLate?: true;
}

export interface RunOptions {
  /** What it reads from its standard input. */
  readonly input?: string;
  readonly cwd?: string;
  /** @default the environment of this process */
  readonly env?: NodeJS.ProcessEnv;
  /** Ends it, with SIGTERM. */
  readonly signal?: AbortSignal;
  /** @default none */
  readonly timeoutMs?: number;
}

/** Of each stream; the rest is read and dropped. */
const mostCharacters = 64 * 1024 * 1024;

/** Runs a program to its end, with these words and without a shell; other work goes on meanwhile. Never throws. */
export function runProgram(name: string, words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input = '', cwd, env, signal, timeoutMs } = options;
  const timeUp = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const ends = AbortSignal.any([signal, timeUp].filter((one) => one !== undefined));
  return new Promise((resolve) => {
    const child = spawn(name, words, {
      ...{ stdio: 'pipe', signal: ends },
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    });
    const [stdout, stderr] = [child.stdout, child.stderr].map(collected) as [() => string, () => string];
    let failure = '';
    child.on('error', (error) => {
      const isLate = timeUp?.aborted === true;
      failure = isLate ? `no answer within ${(timeoutMs ?? 0) / 1000} s` : error.message;
      // Then there is no end of it to wait for.
      if (child.pid === undefined) resolve({ code: null, stdout: '', stderr: failure, isMissing: true });
    });
    // A program that does not read its input is no fault.
    child.stdin.on('error', () => undefined).end(input);
    child.on('close', (code) => {
      const said = { stdout: stdout(), stderr: stderr() + failure, isMissing: false };
      resolve({
        ...said,
        code: failure === '' ? code : null,
        ...(failure !== '' && timeUp?.aborted ? { isLate: true } : {}),
      });
    });
  });
}

function collected(stream: NodeJS.ReadableStream): () => string {
  const chunks: string[] = [];
  let characters = 0;
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    characters += chunk.length;
    if (characters <= mostCharacters) chunks.push(chunk);
  });
  return () => chunks.join('');
}

/** Runs one program with these words, `input` on its standard input. Never throws. */
export type RunProgram = (words: readonly string[], input?: string) => Promise<Ran>;

/** A program of this machine, such as kubectl. */
export const programNamed =
  (name: string, timeoutMs = 120_000): RunProgram =>
  (words, input = '') =>
    runProgram(name, words, { input, timeoutMs });

export const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
