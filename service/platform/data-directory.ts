import { accessSync, chmodSync, constants, mkdirSync, readdirSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { ServiceError } from './errors.ts';

/** Everything the service keeps on disk, each folder of mode 0700. */
export interface DataDirectory {
  readonly root: string;
  readonly postgres: string;
  readonly keys: string;
  readonly locks: string;
}

const folders = ['postgres', 'keys', 'locks'] as const;

/**
 * Where the service keeps its data: what is configured, else `/var/lib/outrigger` for root, else
 * `${XDG_DATA_HOME:-~/.local/share}/outrigger`. Always absolute.
 *
 * Source  specifications.freedesktop.org/basedir-spec: a relative XDG_DATA_HOME is to be ignored.
 */
export function resolveDataDirectory(options: {
  readonly configured?: string | undefined;
  readonly uid: number;
  readonly home: string;
  readonly xdgDataHome?: string | undefined;
}): string {
  const { configured, uid, home, xdgDataHome } = options;
  if (configured !== undefined && configured !== '') return resolve(configured);
  if (uid === 0) return '/var/lib/outrigger';
  const isUsable = xdgDataHome !== undefined && isAbsolute(xdgDataHome);
  return resolve(isUsable ? xdgDataHome : join(home, '.local', 'share'), 'outrigger');
}

/**
 * Makes the folders that are missing and closes them to everyone else.
 *
 * Errors  `invalid` (`data_directory_shared`) when the path is a folder with other things in it that others may enter:
 *         closing `/tmp` or a home by mistake would hurt more than not starting. `unavailable` (`data_directory_unusable`)
 *         when it cannot be made or written.
 */
export function prepareDataDirectory(path: string): DataDirectory {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const isOpen = (statSync(path).mode & 0o077) !== 0;
    if (isOpen && !isOurs(path)) throw sharedFolder(path);
    for (const folder of [path, ...folders.map((name) => join(path, name))]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      if ((statSync(folder).mode & 0o777) !== 0o700) chmodSync(folder, 0o700);
      accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
  } catch (error) {
    throw error instanceof ServiceError ? error : unusableFolder(path, error);
  }
  return { root: path, postgres: join(path, 'postgres'), keys: join(path, 'keys'), locks: join(path, 'locks') };
}

/** Ours to close: nothing in it yet (`lost+found` marks a volume's own root), or what we made before. */
function isOurs(path: string): boolean {
  const names = readdirSync(path).filter((name) => name !== 'lost+found');
  return names.length === 0 || folders.every((folder) => names.includes(folder));
}

const sharedFolder = (path: string): ServiceError =>
  new ServiceError(
    'invalid',
    'data_directory_shared',
    `${path} holds other things and other users may enter it, so it cannot keep keys and a database. ` +
      'Set OUTRIGGER_DATA_DIR to a folder of its own.',
  );

const unusableFolder = (path: string, cause: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'data_directory_unusable',
    `The data directory ${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}. ` +
      'Set OUTRIGGER_DATA_DIR to a folder this user may write.',
    { cause },
  );
