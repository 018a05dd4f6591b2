import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const command = join(import.meta.dirname, '../../scripts/outrigger.mjs');

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The real command, in a folder of its own, with nothing of our environment but PATH. */
export interface OutriggerProcess {
  readonly ended: Promise<Ended>;
  /** What it has said so far. */
  readonly said: () => string;
  kill(signal: NodeJS.Signals): void;
}

export function startOutrigger(words: readonly string[], environment: Record<string, string>): OutriggerProcess {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-cli-'));
  const child = spawn(process.execPath, [command, ...words], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (status) => {
      rmSync(folder, { recursive: true, force: true });
      resolve({ status, stdout, stderr });
    });
  });
  return { ended, said: () => stdout + stderr, kill: (signal) => void child.kill(signal) };
}
