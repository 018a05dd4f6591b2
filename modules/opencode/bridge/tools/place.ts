import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { pathTraversal } from '../../../contract.ts';

/**
 * A folder that nothing done here leads out of: by no path, by no link, and by no link that is put in the way meanwhile.
 *
 * Errors   each throws a sentence for the person; `Path traversal detected` where a path leads out.
 */
export interface Place {
  /** The folder itself, without links. */
  root(): string;
  /** Where an existing file or folder really is. */
  find(path: string): string;
  /** Runs `use` with a descriptor of a file or folder, which is closed afterwards. */
  open<Result>(path: string, use: (descriptor: number) => Result): Result;
  /** Replaces a file whole, or makes it with the folders above it. */
  write(path: string, content: Buffer): void;
}

/** Without O_NONBLOCK, opening a FIFO that nobody writes to would never return. */
const look = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const enter = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY;
const create = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const longestPath = 4_096;

export function makePlace(directory: string): Place {
  const root = (): string => realpathSync(directory);

  /** The path as it is written, which may still pass a link. */
  function written(path: unknown): string {
    if (typeof path !== 'string' || path === '') throw new Error('A path must be text that is not empty.');
    if (path.includes('\0')) throw traversal();
    if (path.length > longestPath) throw new Error(`A path may be ${longestPath} characters long.`);
    const full = resolve(directory, path);
    if (!isBelow(full, directory) && !isBelow(full, root())) throw traversal();
    return full;
  }

  function inside(full: string, path: string): string {
    const real = told(path, () => realpathSync(full));
    if (!isBelow(real, root())) throw traversal();
    return real;
  }

  const find = (path: string): string => inside(written(path), path);

  /** Looks where a descriptor leads once it is open: from here on no link can change it. */
  function opened<Result>(file: string, flags: number, path: string, use: (descriptor: number) => Result): Result {
    const descriptor = told(path, () => openSync(file, flags));
    try {
      if (!isBelow(readlinkSync(`/proc/self/fd/${descriptor}`), root())) throw traversal();
      return use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Runs `use` with a descriptor of the folder `names` below an open one; folders that are missing are made. */
  function below(folder: number, names: readonly string[], path: string, use: (folder: number) => void): void {
    const [name, ...rest] = names;
    if (name === undefined) return use(folder);
    const next = entryOf(folder, name);
    try {
      mkdirSync(next);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw sentence(path, error);
      if (lstatSync(next).isSymbolicLink()) throw traversal();
    }
    opened(next, enter, path, (descriptor) => below(descriptor, rest, path, use));
  }

  return {
    root,
    find,
    open: (path, use) => opened(find(path), look, path, use),
    write(path, content) {
      const target = targetOf(written(path), path);
      const { folder, missing } = nearestFolder(dirname(target));
      const real = linked(folder, path);
      opened(real, enter, path, (descriptor) =>
        below(descriptor, missing, path, (parent) => told(path, () => replace(parent, basename(target), content))),
      );
    },
  };

  /** A link that stays inside is written through; one that leads out, or nowhere, is refused. */
  function linked(full: string, path: string): string {
    if (!entryAt(full)?.isSymbolicLink()) return inside(full, path);
    try {
      return inside(full, path);
    } catch {
      throw traversal();
    }
  }

  function targetOf(full: string, path: string): string {
    const found = entryAt(full);
    if (found?.isSymbolicLink()) return linked(full, path);
    if (found && !found.isFile()) throw new Error(`${path} is no file, so it cannot be written.`);
    return full;
  }
}

/** What is there, itself and not where it leads; nothing, too, below what is no folder. */
function entryAt(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The nearest folder above that exists, and the names that lead down from it. */
function nearestFolder(folder: string): { folder: string; missing: readonly string[] } {
  const missing: string[] = [];
  let existing = folder;
  while (!entryAt(existing)) {
    missing.unshift(basename(existing));
    existing = dirname(existing);
  }
  return { folder: existing, missing };
}

/** Renaming replaces the file in one step: whoever reads it finds the old content or the new one. */
function replace(folder: number, name: string, content: Buffer): void {
  const before = lstatSync(entryOf(folder, name), { throwIfNoEntry: false });
  const next = entryOf(folder, `.outrigger-${randomBytes(8).toString('hex')}`);
  const descriptor = openSync(next, create, 0o666);
  try {
    for (let written = 0; written < content.length;) written += writeSync(descriptor, content, written);
    if (before?.isFile()) fchmodSync(descriptor, before.mode & 0o777);
    fsyncSync(descriptor);
    renameSync(next, entryOf(folder, name));
  } catch (error) {
    unlinkSync(next);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** An entry of an open folder, whatever has become of the folder's path. */
const entryOf = (folder: number, name: string): string => join('/proc/self/fd', String(folder), name);

export const isBelow = (path: string, folder: string): boolean => !/^\.\.(\/|$)/.test(relative(folder, path));

export const isFile = (descriptor: number): boolean => fstatSync(descriptor).isFile();

const traversal = (): Error => new Error(pathTraversal);

function told<Result>(path: string, act: () => Result): Result {
  try {
    return act();
  } catch (error) {
    throw sentence(path, error);
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is no folder',
  EISDIR: 'is a folder',
  EACCES: 'may not be touched by the agent',
  EPERM: 'may not be touched by the agent',
  EROFS: 'is on a disk that cannot be written',
  ENOSPC: 'has no room left on the disk',
  EDQUOT: 'has no room left on the disk',
  ENAMETOOLONG: 'has a name that is too long',
};

/** Another link in the way than the one that was looked at was put there on purpose. */
function sentence(path: string, error: unknown): Error {
  const code = codeOf(error) ?? '';
  if (code === 'ELOOP') return traversal();
  return words[code] === undefined ? (error as Error) : new Error(`${path} ${words[code]}.`);
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
