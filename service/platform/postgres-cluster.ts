import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { ServiceError } from './errors.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { postgresMajor, type PostgresRuntime } from './postgres-runtime.ts';
import { identifyProcess } from './process-identity.ts';

/** A stored cluster: Postgres' data and the password that opens it, always together. */
export interface Cluster {
  readonly folder: string;
  readonly data: string;
  readonly password: string;
}

const superuser = 'outrigger';
const databaseName = 'outrigger';

export function clusterAt(dataDir: string, name = 'cluster'): Cluster {
  const folder = join(dataDir, name);
  return { folder, data: join(folder, 'data'), password: join(folder, 'password') };
}

export function databaseUrl(cluster: Cluster, port: number, database: string = databaseName): string {
  return `postgres://${superuser}:${readPassword(cluster)}@127.0.0.1:${port}/${database}`;
}

/**
 * How another process is told where the cluster is, by an open descriptor (its number 3) where the platform can.
 *
 * Root hands Postgres to an account that often may not enter the folders above (`/root`, a data directory of mode
 * 0700). A path through `/proc/self/fd` begins at the opened folder itself, so nothing above is asked, no permission
 * is widened, and the data stays on the volume the owner chose. Postgres enters its data directory once and works
 * with relative paths from then on.
 */
export function handOver(cluster: Cluster, account: PostgresAccount): { cluster: Cluster; descriptors: number[] } {
  if (account.ids.uid === undefined || process.platform !== 'linux') return { cluster, descriptors: [] };
  return { cluster: clusterAt('/proc/self/fd', '3'), descriptors: [openSync(cluster.folder, 'r')] };
}

export interface NewCluster {
  readonly dataDir: string;
  readonly account: PostgresAccount;
  readonly runtime: PostgresRuntime;
  /** Whether initdb waits until the new files are on the disk. */
  readonly isDurable: boolean;
}

/**
 * Makes the cluster in a folder of its own and renames it into place; a loser of a race keeps the winner's.
 *
 * Errors  `unavailable` with initdb's own words.
 */
export async function createCluster(options: NewCluster): Promise<void> {
  const { uid, gid } = options.account.ids;
  const draft = clusterAt(options.dataDir, `init.${process.pid}`);
  rmSync(draft.folder, { recursive: true, force: true });
  mkdirSync(draft.folder, { mode: 0o700 });
  writeFileSync(draft.password, randomBytes(32).toString('base64url'), { mode: 0o600, flush: true });
  if (uid !== undefined && gid !== undefined)
    for (const path of [draft.folder, draft.password]) chownSync(path, uid, gid);
  try {
    await initialise(draft, options);
    renameSync(draft.folder, clusterAt(options.dataDir).folder);
  } catch (error) {
    rmSync(draft.folder, { recursive: true, force: true });
    if (!existsSync(clusterAt(options.dataDir).data)) throw error;
  }
}

/**
 * Its progress goes into a pipe, so that an initdb whose parent was killed ends at its next line.
 *
 * Source: postgresql.org/docs/18/app-initdb.html
 */
async function initialise(draft: Cluster, { account, runtime, isDurable }: NewCluster): Promise<void> {
  const { cluster, descriptors } = handOver(draft, account);
  const words = [
    `--pgdata=${cluster.data}`,
    `--username=${superuser}`,
    `--pwfile=${cluster.password}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    ...(isDurable ? [] : ['--no-sync']),
  ];
  try {
    const child = spawn(runtime.initdb, words, {
      ...account.ids,
      cwd: '/',
      env: runtime.environment,
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
    });
    const ended = new Promise<unknown>((resolve) => {
      child.once('error', resolve);
      child.once('close', (code, signal) => resolve(code ?? signal));
    });
    child.stdout?.resume();
    const complaint = child.stderr === null ? '' : await text(child.stderr).catch(() => '');
    const end = await ended;
    if (end !== 0) throw initdbFailed(account, complaint.trim() || String(end));
  } finally {
    descriptors.forEach(closeSync);
  }
}

/** Removes what a killed first start left. Its initdb may still write for a moment, hence the retries. */
export function discardUnfinishedClusters(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    const pid = /^init\.(\d+)$/.exec(name)?.[1];
    if (pid === undefined || (Number(pid) !== process.pid && identifyProcess(Number(pid)) !== undefined)) continue;
    rmSync(join(dataDir, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

/** Says early and in words what Postgres would say in its log. */
export function checkCluster(cluster: Cluster): void {
  const major = readIfThere(join(cluster.data, 'PG_VERSION'))?.trim();
  if (major === undefined || readIfThere(cluster.password) === undefined) throw clusterIncomplete(cluster);
  if (major !== postgresMajor) throw clusterOfAnotherMajor(cluster, major);
}

/** Makes our database in the running cluster unless it is there. */
export async function ensureDatabase(url: string): Promise<void> {
  if (await canConnect(url)) return;
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  const client = new pg.Client({ connectionString: maintenance.href });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [databaseName]);
    if (rowCount === 0) await client.query(`create database ${databaseName}`);
  } catch (error) {
    if (
      (error as { code?: string }).code !== duplicateDatabase &&
      (error as { code?: string }).code !== uniqueViolation
    )
      throw error;
  } finally {
    await client.end();
  }
}

// Source: postgresql.org/docs/18/errcodes-appendix.html. Two creators at once meet either one.
const duplicateDatabase = '42P04';
const uniqueViolation = '23505';

/** Whether a connection with this URL's password is accepted. SCRAM proves both sides, so the server is ours. */
export async function canConnect(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function readPassword(cluster: Cluster): string {
  const password = readIfThere(cluster.password);
  if (password === undefined) throw clusterIncomplete(cluster);
  return password.trim();
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

const initdbFailed = (account: PostgresAccount, complaint: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_init_failed',
    `A new embedded database could not be made as ${account.description}: ${complaint} ` +
      'Repair that and start again, or set DATABASE_URL to a Postgres of yours.',
  );

const clusterIncomplete = (cluster: Cluster): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_cluster_incomplete',
    `${cluster.folder} is not a whole database: data/PG_VERSION or password cannot be read. ` +
      'Restore the folder from a backup, or move it away to begin with an empty database.',
  );

const clusterOfAnotherMajor = (cluster: Cluster, major: string): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_major_differs',
    `${cluster.data} was made by Postgres ${major}, and Postgres ${postgresMajor} cannot read it. ` +
      `Start the version of Outrigger that made it and copy the data out, choose another data directory, or set DATABASE_URL.`,
  );
