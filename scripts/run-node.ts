import { spawn } from 'node:child_process';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..');

/** Set once somebody asked us to stop: nothing further is started. */
let stoppedBy: NodeJS.Signals | undefined;
export const stopSignal = (): NodeJS.Signals | undefined => stoppedBy;

/** The arguments of node that run one of the programs beside this one. */
export const script = (name: string, ...rest: string[]): string[] => [
  '--import',
  'tsx',
  join('scripts', name),
  ...rest,
];

/** Runs node with `argv`; quiet unless it fails, except where `isLoud`. Its whole process group ends at the deadline. */
export function runNode(
  argv: readonly string[],
  isLoud: boolean,
  leftMs: number,
): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const pipe = isLoud ? 'inherit' : 'pipe';
    const child = spawn(process.execPath, [...argv], { cwd: root, stdio: ['ignore', pipe, pipe], detached: true });
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer): void => void chunks.push(chunk);
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const end = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined || child.exitCode !== null) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // It ended by itself meanwhile.
      }
    };
    const timer = setTimeout(() => {
      chunks.push(Buffer.from('\nIt did not end in time and was stopped.\n'));
      end('SIGKILL');
    }, leftMs);
    // In a group of its own it does not hear Ctrl-C.
    const passOn = (signal: NodeJS.Signals): void => {
      stoppedBy = signal;
      end(signal);
    };
    process.on('SIGINT', passOn).on('SIGTERM', passOn);
    const done = (ok: boolean): void => {
      clearTimeout(timer);
      process.off('SIGINT', passOn).off('SIGTERM', passOn);
      resolve({ ok, output: Buffer.concat(chunks).toString() });
    };
    child.on('error', () => done(false));
    child.on('close', (code) => done(code === 0));
  });
}
