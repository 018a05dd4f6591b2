import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from './errors.ts';
import { isRunning, ownIdentity, type ProcessIdentity } from './process-identity.ts';

const pollMs = 25;

/**
 * Runs `work` while no other caller, in this process or another, runs under the same lock file.
 *
 * Units    `waitMs` in milliseconds, how long to wait for the holder.
 * Errors   `unavailable` (`lock_held`) when the holder lives and does not finish in time.
 * Safety   the file appears with its content in one step (`link`), and a holder that died is recognised by its start
 *          moment as well as its number. Two callers that recover the same dead holder at the same instant may both
 *          proceed: what is done under this lock must stay right then, and merely be done twice.
 */
export async function withFileLock<Result>(path: string, waitMs: number, work: () => Promise<Result>): Promise<Result> {
  const release = await acquire(path, waitMs);
  try {
    return await work();
  } finally {
    release();
  }
}

interface LockContent extends ProcessIdentity {
  readonly nonce: string;
}

async function acquire(path: string, waitMs: number): Promise<() => void> {
  const mine: LockContent = { ...ownIdentity(), nonce: randomUUID() };
  const draft = `${path}.${mine.nonce}`;
  const deadline = Date.now() + waitMs;
  writeFileSync(draft, JSON.stringify(mine), { mode: 0o600 });
  try {
    while (!tryLink(draft, path)) {
      const holder = readLock(path);
      if (holder === 'gone') continue;
      if (holder === undefined || !isRunning(holder)) {
        discard(path, mine.nonce);
        continue;
      }
      if (Date.now() > deadline) throw lockHeld(path, holder.pid);
      await sleep(pollMs);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return () => {
    const holder = readLock(path);
    if (typeof holder === 'object' && holder.nonce === mine.nonce) rmSync(path, { force: true });
  };
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** `undefined` for content nobody wrote through `link`, such as an empty file after a power loss. */
function readLock(path: string): LockContent | 'gone' | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockContent;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : undefined;
  }
}

/** Renamed before it is removed: of two callers that want this file away, one finds it. */
function discard(path: string, nonce: string): void {
  const grave = `${path}.dead.${nonce}`;
  try {
    renameSync(path, grave);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  rmSync(grave, { force: true });
}

const lockHeld = (path: string, pid: number): ServiceError =>
  new ServiceError(
    'unavailable',
    'lock_held',
    `Process ${pid} holds ${path} and does not finish, so nobody else may work there. Wait for it or stop it, then try again.`,
  );
