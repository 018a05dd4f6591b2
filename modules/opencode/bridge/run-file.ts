import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/**
 * Replaces a file that the worker reads, whole: nobody ever sees half of it. Mode 0644 whatever the umask is. Throws
 * what the file system throws.
 *
 * Safety   the directory is shared: nobody can guess the name that is written first, and no link is followed, no folder
 *          removed.
 */
export function replaceRunFile(file: string, value: unknown): void {
  dropEntry(`${file}.next`);
  const next = `${file}.${randomBytes(16).toString('hex')}`;
  const descriptor = openSync(next, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
  try {
    try {
      fchmodSync(descriptor, 0o644);
      writeSync(descriptor, `${JSON.stringify(value)}\n`);
    } finally {
      closeSync(descriptor);
    }
    renameSync(next, file);
  } catch (error) {
    dropEntry(next);
    throw error;
  }
}

/** Earlier bridges wrote to `.next` first, and one that was killed left it. A link goes, not what it leads to. */
function dropEntry(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Not there, or a folder, which is not ours.
  }
}

const maxBytes = 4_096;

/**
 * What a file that somebody else writes holds, as JSON; null for anything but a small regular file of JSON.
 *
 * Safety   no link is followed, no FIFO waited for, and never more than 4 KiB read.
 */
export function readRunFile(file: string): unknown {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const found = fstatSync(descriptor);
    if (!found.isFile() || found.size > maxBytes) return null;
    const bytes = Buffer.alloc(maxBytes);
    return JSON.parse(bytes.subarray(0, readSync(descriptor, bytes, 0, maxBytes, 0)).toString('utf8')) as unknown;
  } catch {
    return null;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}
