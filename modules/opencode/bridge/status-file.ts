import { closeSync, fchmodSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { AttemptRef } from '../../contract.ts';
import { textOf, type Log } from './log.ts';

/** `running` is the only state in which a session can be joined. */
export type StatusState = 'idle' | 'starting' | 'running' | 'finishing';

/** What `status.json` holds: ids, numbers and one word, because everybody in the workspace can read it. */
export interface Status {
  readonly state: StatusState;
  readonly task_id: string | null;
  readonly attempt: number | null;
  /** Port of the harness on 127.0.0.1. */
  readonly port: number | null;
  readonly session_id: string | null;
}

export interface AttemptStatus {
  tell(facts: Partial<Omit<Status, 'task_id' | 'attempt'>>): void;
  /** The attempt is over. */
  close(): void;
}

export interface StatusFile {
  open(ref: AttemptRef): AttemptStatus;
}

const idle: Status = { state: 'idle', task_id: null, attempt: null, port: null, session_id: null };

/**
 * Tells the workspace what runs, in `status.json` of this directory: the newest attempt, or `idle`.
 *
 * Start    written at once, so that what a killed bridge left does not stay.
 * Errors   none: a directory that is missing or cannot be written is logged once.
 * Safety   replaced whole, mode 0644; a link that somebody put in its place is not followed.
 */
export function makeStatusFile(directory: string, log: Log): StatusFile {
  const file = join(directory, 'status.json');
  const next = `${file}.next`;
  const open = new Map<symbol, Status>();
  let isBroken = false;

  function write(): void {
    try {
      rmSync(next, { recursive: true, force: true });
      writeReadable(next, `${JSON.stringify([...open.values()].at(-1) ?? idle)}\n`);
      renameSync(next, file);
      isBroken = false;
    } catch (error) {
      if (isBroken) return;
      isBroken = true;
      log('warn', 'the status file cannot be written, so nobody can join the session', { file, error: textOf(error) });
    }
  }

  write();
  return {
    open(ref) {
      const key = Symbol('attempt');
      let status: Status = { ...idle, state: 'starting', task_id: ref.task_id, attempt: ref.attempt };
      open.set(key, status);
      write();
      return {
        tell(facts) {
          if (!open.has(key)) return;
          status = { ...status, ...facts };
          open.set(key, status);
          write();
        },
        close() {
          if (open.delete(key)) write();
        },
      };
    },
  };
}

/** Whatever the umask is, the worker's user can read it. */
function writeReadable(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', 0o644);
  try {
    fchmodSync(descriptor, 0o644);
    writeSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}
