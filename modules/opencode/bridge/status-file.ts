import { join } from 'node:path';
import { runFiles, type AttemptRef, type GitFacts, type Status, type StatusState } from '../../contract.ts';
import { textOf, type Log } from './log.ts';
import { replaceRunFile } from './run-file.ts';

export type { Status, StatusState } from '../../contract.ts';

export interface AttemptFacts {
  readonly state: StatusState;
  readonly port: number | null;
  readonly session_id: string | null;
  /** Name of its work tree, once that is there. */
  readonly worktree?: string;
  /** True while a question of the attempt waits for a person. */
  readonly waits: boolean;
}

export interface AttemptStatus {
  tell(facts: Partial<AttemptFacts>): void;
  /** The attempt is over. */
  close(): void;
}

export interface StatusFile {
  open(ref: AttemptRef): AttemptStatus;
  /** Null where there is no repository. */
  tellGit(facts: GitFacts | null): void;
  /** Whether work is taken yet; not before the worker is ready. */
  tellWaiting(isWaiting: boolean): void;
}

const doings: Readonly<Record<StatusState, string>> = {
  idle: 'Waiting for work',
  starting: 'Starting OpenCode',
  running: 'Working on a task',
  finishing: 'Committing and checking the work',
};
const doingWhileAsking = 'Waiting for a decision';
const doingBeforeWork = 'Waiting for the worker to start';

type Entry = AttemptRef & AttemptFacts;

const idle: Status = {
  state: 'idle',
  task_id: null,
  attempt: null,
  port: null,
  session_id: null,
  doing: doings.idle,
};

const present = ({ task_id, attempt, state, port, session_id, worktree, waits }: Entry): Status => ({
  state,
  task_id,
  attempt,
  port,
  session_id,
  ...(worktree === undefined ? {} : { worktree }),
  doing: waits ? doingWhileAsking : doings[state],
});

/**
 * Tells the workspace what runs, in `status.json` of this directory: the newest attempt, or `idle`.
 *
 * Start    written at once, so that what a killed bridge left does not stay.
 * Errors   none: a directory that is missing or cannot be written is logged once.
 */
export function makeStatusFile(directory: string, log: Log): StatusFile {
  const file = join(directory, runFiles.status);
  const open = new Map<symbol, Entry>();
  let git: GitFacts | null = null;
  let isWaiting = false;
  let isBroken = false;

  function write(): void {
    const newest = [...open.values()].at(-1);
    const atRest = isWaiting ? { ...idle, doing: doingBeforeWork } : idle;
    try {
      replaceRunFile(file, { ...(newest ? present(newest) : atRest), ...(git ? { git } : {}) });
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
      let entry: Entry = { ...ref, state: 'starting', port: null, session_id: null, waits: false };
      open.set(key, entry);
      write();
      return {
        tell(facts) {
          if (!open.has(key)) return;
          const before = JSON.stringify(entry);
          entry = { ...entry, ...facts };
          if (JSON.stringify(entry) === before) return;
          open.set(key, entry);
          write();
        },
        close() {
          if (open.delete(key)) write();
        },
      };
    },
    tellGit(facts) {
      if (JSON.stringify(facts) === JSON.stringify(git)) return;
      git = facts;
      write();
    },
    tellWaiting(waits) {
      if (waits === isWaiting) return;
      isWaiting = waits;
      write();
    },
  };
}
