import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AttemptRef, BridgeRequests, Evidence } from '../../contract.ts';
import { textOf, type Log } from './log.ts';

/** A result that the service has not taken yet, with the events before it. */
export interface StoredResult {
  readonly ref: AttemptRef;
  readonly events: BridgeRequests['event']['payload'][];
  readonly result: Evidence;
}

export interface StoredResults {
  /** All that a bridge with this key has kept and nobody has touched since. */
  read(): StoredResult[];
  keep(value: StoredResult): void;
  forget(ref: AttemptRef): void;
}

export interface StoredResultsParts {
  readonly directory: string;
  /** See `outboxKey`. */
  readonly key: Buffer;
  readonly log: Log;
}

export const keyOf = ({ task_id, attempt }: AttemptRef): string => `${task_id}.${attempt}`;

/** Key under which results are kept. The agent cannot have it: nothing of the harness key is ever in a file. */
export const outboxKey = (harnessKey: string): Buffer => createHash('sha256').update(`outbox:${harnessKey}`).digest();

/** A file larger than this was not written here: what would be, is kept without its events. */
const maxBytes = 64 * 1024 * 1024;

/**
 * Results on disk, each under an authentication code that binds it to its task and attempt.
 *
 * The directory belongs to the user that the agent runs as, so whatever is found there is a claim. What this key
 * has not written is removed and logged. Nothing found on disk, and no failure of the disk, ever throws.
 */
export function makeStoredResults({ directory, key, log }: StoredResultsParts): StoredResults {
  const fileOf = (ref: AttemptRef): string => join(directory, `${keyOf(ref)}.json`);
  const codeOf = (name: string, body: string): Buffer =>
    createHmac('sha256', key)
      .update(JSON.stringify([name, body]))
      .digest();

  function attempt<Value>(what: string, work: () => Value): Value | null {
    try {
      return work();
    } catch (error) {
      log('warn', what, { error: textOf(error) });
      return null;
    }
  }

  function readOne(name: string): StoredResult | null {
    const path = join(directory, name);
    const entry = lstatSync(path);
    if (!entry.isFile() || entry.size > maxBytes) return null;
    const sealed = JSON.parse(readFileSync(path, 'utf8')) as { mac?: unknown; body?: unknown } | null;
    if (typeof sealed?.mac !== 'string' || typeof sealed.body !== 'string') return null;
    const given = Buffer.from(sealed.mac, 'hex');
    const right = codeOf(name, sealed.body);
    if (given.length !== right.length || !timingSafeEqual(given, right)) return null;
    const value = JSON.parse(sealed.body) as StoredResult;
    return `${keyOf(value.ref)}.json` === name ? value : null;
  }

  function makeDirectory(): void {
    const found = lstatSync(directory, { throwIfNoEntry: false });
    if (found && !found.isDirectory()) rmSync(directory, { force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  return {
    read() {
      attempt('the directory of the outbox could not be made', makeDirectory);
      const names = attempt('the outbox could not be read', () => readdirSync(directory)) ?? [];
      return names.flatMap((name) => {
        const value = attempt('a file in the outbox could not be read', () => readOne(name));
        if (value) return [value];
        log('warn', 'a file in the outbox that this bridge did not write was removed', { file: name.slice(0, 200) });
        attempt('it could not be removed', () => rmSync(join(directory, name), { recursive: true, force: true }));
        return [];
      });
    },
    keep(value) {
      attempt('a result could not be kept on disk', () => {
        const file = fileOf(value.ref);
        const seal = (kept: StoredResult): string => {
          const body = JSON.stringify(kept);
          return JSON.stringify({ mac: codeOf(`${keyOf(value.ref)}.json`, body).toString('hex'), body });
        };
        const whole = seal(value);
        const text = Buffer.byteLength(whole) <= maxBytes ? whole : seal({ ...value, events: [] });
        makeDirectory();
        for (const name of [`${file}.next`, file]) rmSync(name, { recursive: true, force: true });
        writeFileSync(`${file}.next`, text, { mode: 0o600, flag: 'wx' });
        renameSync(`${file}.next`, file);
      });
    },
    forget(ref) {
      attempt('a delivered result could not be removed', () => rmSync(fileOf(ref), { recursive: true, force: true }));
    },
  };
}
