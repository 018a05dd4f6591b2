import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ServiceError } from './errors.ts';
import { withFileLock } from './file-lock.ts';
import { silentLogger, type Logger } from './logger.ts';
import { choosePostgresAccount } from './postgres-account.ts';
import {
  clusterAt,
  createCluster,
  databaseUrl,
  discardUnfinishedClusters,
  ensureDatabase,
} from './postgres-cluster.ts';
import { adoptPostmaster, startPostmaster, stopPostmaster, type Postmaster } from './postgres-supervisor.ts';
import { preparePostgresRuntime } from './postgres-runtime.ts';

export interface EmbeddedPostgresOptions {
  /** The folder Postgres gets for itself, such as `<data directory>/postgres`; made when it is not there. */
  readonly dataDir: string;
  readonly log?: Logger;
  /** The account that runs Postgres when we are root. @default - `postgres`, else `nobody`. */
  readonly osUser?: string;
  /** Server settings of this start (`-c name=value`); an adopted server keeps those it was started with. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Where the programs are, and where root may copy them. @default - see `preparePostgresRuntime`. */
  readonly binaries?: { readonly nativeDir?: string; readonly sharedFolders?: readonly string[] };
}

export interface EmbeddedPostgres {
  /** With the password; never log it. The database is `outrigger`. */
  readonly url: string;
  readonly pid: number;
  readonly port: number;
  /** Whether the server ran already, left by a process that was killed or shared with one that lives. */
  readonly adopted: boolean;
  /** Ends the server for everyone who uses it, and returns when it is gone. A second call does nothing. */
  stop(): Promise<void>;
}

/** The first start of another process takes about two seconds; a slow disk may need far more. */
const lockWaitMs = 120_000;

/**
 * Gives a running Postgres on `dataDir`: one that lives already, else the one stored there, else a new one.
 *
 * Shape    `dataDir` holds `cluster/` (`data/`, `password`), `lock`, `postgres.log` and, while a cluster is being made, `init.*`.
 * Errors   `unavailable`, each naming what to do, when this machine or account cannot run it or the stored data does
 *          not fit.
 * Safety   a new cluster appears by one rename, so a kill at any moment leaves either none or a whole one. The server
 *          outlives a killed parent and is adopted by the next start. Listens on 127.0.0.1 only, SCRAM, and a password
 *          that only this user can read.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
    return await withFileLock(join(options.dataDir, 'lock'), lockWaitMs, () => startLocked(options));
  } catch (error) {
    throw error instanceof ServiceError ? error : folderUnusable(options.dataDir, error);
  }
}

async function startLocked(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? silentLogger;
  const startedAt = Date.now();
  const isFirst = !existsSync(clusterAt(options.dataDir).folder);
  const postmaster = await obtainPostmaster(options, isFirst);
  const url = databaseUrl(clusterAt(options.dataDir), postmaster.port);
  await ensureDatabase(url);
  const { pid, port, adopted } = postmaster;
  log.info({ pid, port, adopted, isFirst, durationMs: Date.now() - startedAt }, 'embedded postgres ready');
  let stopping: Promise<void> | undefined;
  return { url, pid, port, adopted, stop: () => (stopping ??= stopPostmaster(postmaster, log)) };
}

async function obtainPostmaster(options: EmbeddedPostgresOptions, isFirst: boolean): Promise<Postmaster> {
  const cluster = clusterAt(options.dataDir);
  const account = await choosePostgresAccount({
    uid: process.getuid?.() ?? 0,
    osUser: options.osUser,
    cluster: isFirst ? undefined : cluster.folder,
  });
  const living = isFirst ? undefined : await adoptPostmaster(cluster);
  if (living !== undefined) return living;
  const runtime = await preparePostgresRuntime({
    account,
    ownFolder: account.ids.uid === undefined ? options.dataDir : undefined,
    ...options.binaries,
  });
  discardUnfinishedClusters(options.dataDir);
  const settings = options.settings ?? {};
  const isDurable = settings['fsync'] !== 'off';
  if (isFirst) await createCluster({ dataDir: options.dataDir, account, runtime, isDurable });
  return startPostmaster({
    cluster,
    account,
    runtime,
    settings,
    logPath: join(options.dataDir, 'postgres.log'),
  });
}

const folderUnusable = (dataDir: string, cause: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_folder_unusable',
    `The embedded Postgres cannot work in ${dataDir}: ${cause instanceof Error ? cause.message : String(cause)}. ` +
      'Choose a data directory this user may write, or set DATABASE_URL to a Postgres of yours.',
    { cause },
  );
