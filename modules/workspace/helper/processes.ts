import { readFileSync, rmSync, writeFileSync } from 'node:fs';

/** Words a process was started with; null when there is none, or it is not ours to look at. */
export function commandOf(pid: number): readonly string[] | null {
  try {
    const text = readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8');
    return text === '' ? null : text.split('\0');
  } catch {
    return null;
  }
}

/** The process that this file names, if it still runs and is the one we mean; ids are used again. */
export function livingProcess(file: string, isIt: (command: readonly string[]) => boolean): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    const command = Number.isInteger(pid) && pid > 1 ? commandOf(pid) : null;
    return command !== null && isIt(command) ? pid : null;
  } catch {
    return null;
  }
}

export const notePid = (file: string, pid: number): void => writeFileSync(file, String(pid));
export const forgetPid = (file: string): void => rmSync(file, { force: true });

/** Sends a signal to a whole process group; false when none is left. */
export function signalGroup(leader: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-leader, signal);
    return true;
  } catch {
    return false;
  }
}
