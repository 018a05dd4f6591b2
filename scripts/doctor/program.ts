import { spawn } from 'node:child_process';

export interface Ran {
  /** Null where the program is missing or was ended for its time. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly isMissing: boolean;
}

/** Runs a program with these words, `input` on its standard input. Never throws. */
export type RunProgram = (words: readonly string[], input?: string) => Promise<Ran>;

const deadlineMs = 120_000;
const mostBytes = 32 * 1024 * 1024;

/** A program of this machine, such as kubectl, with the environment of this process. */
export const programNamed =
  (name: string, timeoutMs = deadlineMs): RunProgram =>
  (words, input = '') =>
    new Promise((resolve) => {
      const child = spawn(name, words, { stdio: 'pipe', signal: AbortSignal.timeout(timeoutMs) });
      const [stdout, stderr]: [string[], string[]] = [[], []];
      let bytes = 0;
      const keep = (into: string[]) => (chunk: string) => {
        bytes += chunk.length;
        if (bytes <= mostBytes) into.push(chunk);
      };
      child.stdout.setEncoding('utf8').on('data', keep(stdout));
      child.stderr.setEncoding('utf8').on('data', keep(stderr));
      let failure = '';
      let isMissing = false;
      child.on('error', (error: NodeJS.ErrnoException) => {
        isMissing = error.code === 'ENOENT';
        failure = error.name === 'AbortError' ? `no answer within ${timeoutMs / 1000} s` : error.message;
        if (isMissing) resolve({ code: null, stdout: '', stderr: failure, isMissing });
      });
      // A program that does not read its input is no fault.
      child.stdin.on('error', () => undefined).end(input);
      child.on('close', (code) => {
        resolve({
          code: failure === '' ? code : null,
          stdout: stdout.join(''),
          stderr: stderr.join('') + failure,
          isMissing,
        });
      });
    });
