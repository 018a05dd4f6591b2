import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Boot and start moment, opaque; empty where the platform tells none. */
  readonly startedAt: string;
}

/** The identity of a living process; `undefined` when there is none, or only a zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !answersSignals(pid)) return undefined;
  return process.platform === 'linux' ? identifyOnLinux(pid) : { pid, startedAt: startByPs(pid) };
}

/** Whether exactly this process still runs: the same number given to a later process does not count. */
export function isRunning(identity: ProcessIdentity): boolean {
  const found = identifyProcess(identity.pid);
  return found !== undefined && found.startedAt === identity.startedAt;
}

export const ownIdentity = (): ProcessIdentity => identifyProcess(process.pid) ?? { pid: process.pid, startedAt: '' };

/** Whether the number is taken at all, be it by a zombie. EPERM means the process belongs to someone else. */
export function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Source: proc_pid_stat(5). The command may hold spaces and parentheses, so fields count from its last one:
 * the state is the 3rd field, the start in ticks since boot the 22nd.
 */
function identifyOnLinux(pid: number): ProcessIdentity | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startedAt: `${readText('/proc/sys/kernel/random/boot_id')?.trim() ?? ''}:${fields[19] ?? ''}` };
}

function startByPs(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
