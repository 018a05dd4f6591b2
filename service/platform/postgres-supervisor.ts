import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServiceError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { PostgresAccount } from './postgres-account.ts';
import { canConnect, checkCluster, databaseUrl, handOver, type Cluster } from './postgres-cluster.ts';
import type { PostgresRuntime } from './postgres-runtime.ts';
import { answersSignals, identifyProcess, isRunning, type ProcessIdentity } from './process-identity.ts';

/** The server's first process, from which all others come. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly adopted: boolean;
  readonly identity: ProcessIdentity;
}

export interface PostmasterStart {
  readonly cluster: Cluster;
  readonly account: PostgresAccount;
  readonly runtime: PostgresRuntime;
  readonly settings: Readonly<Record<string, string>>;
  readonly logPath: string;
}

const pollMs = 10;
/** A start after a crash replays the log first: at most `max_wal_size` (1 GB), which slow disks read in minutes. */
const readyWithinMs = 180_000;
/** Backends of a killed postmaster hold its shared memory for a moment, and a free port may be taken in between. */
const startTries = 20;
const startPauseMs = 250;
const logLimitBytes = 10 * 1024 * 1024;
const fastStopMs = 30_000;
/** Between making the file and writing it Postgres does nothing else. */
const emptyFileMs = 1_000;

/**
 * The postmaster that already serves this cluster, when it is ready; waits while it starts or stops.
 *
 * Three kinds of `postmaster.pid` are removed, because Postgres would take them for a living server and refuse to start
 * for ever: one whose number is a zombie, one whose number went to another process after a reboot, and one left empty
 * by a kill between its making and its writing. A plainly dead number is left to Postgres, which checks more.
 */
export async function adoptPostmaster(cluster: Cluster): Promise<Postmaster | undefined> {
  checkCluster(cluster);
  const startedAt = Date.now();
  while (Date.now() - startedAt < readyWithinMs) {
    const found = readPostmasterFile(cluster);
    if (found === undefined) return undefined;
    const isWritten = Number.isSafeInteger(found.pid) && found.pid > 0;
    if (isWritten && !answersSignals(found.pid)) return undefined;
    const identity = identifyProcess(found.pid);
    if (
      isWritten ? identity === undefined || !servesCluster(found.pid, cluster) : Date.now() - startedAt > emptyFileMs
    ) {
      rmSync(join(cluster.data, 'postmaster.pid'), { force: true });
      return undefined;
    }
    if (identity !== undefined && (await isReady(cluster, found))) {
      return { pid: found.pid, port: found.port, adopted: true, identity };
    }
    await sleep(pollMs);
  }
  throw notReady(cluster);
}

const isReady = async (cluster: Cluster, found: PostmasterFile): Promise<boolean> =>
  found.status === 'ready' && found.port > 0 && (await canConnect(databaseUrl(cluster, found.port, 'postgres')));

/** Starts the server on a free loopback port and returns when it accepts our password. */
export async function startPostmaster(options: PostmasterStart): Promise<Postmaster> {
  let failure: unknown;
  for (let attempt = 1; attempt <= startTries; attempt++) {
    const living = await adoptPostmaster(options.cluster);
    if (living !== undefined) return living;
    const outcome = await startOnce(options);
    if ('pid' in outcome) return outcome;
    failure = outcome.failure;
    await sleep(startPauseMs);
  }
  throw startFailed(options.logPath, failure);
}

async function startOnce(options: PostmasterStart): Promise<Postmaster | { failure: unknown }> {
  const port = await findFreePort();
  const { pid, ended } = launch(options, port);
  const deadline = Date.now() + readyWithinMs;
  while (ended.by === undefined && Date.now() < deadline) {
    const found = readPostmasterFile(options.cluster);
    if (found !== undefined && found.pid === pid && (await isReady(options.cluster, found))) {
      const identity = identifyProcess(found.pid);
      if (identity !== undefined) return { pid: found.pid, port, adopted: false, identity };
    }
    await sleep(pollMs);
  }
  if (ended.by === undefined) throw notReady(options.cluster);
  return { failure: ended.by };
}

/** In a session of its own, so that neither Ctrl-C nor our death reaches it. */
function launch(options: PostmasterStart, port: number): { pid: number | undefined; ended: { by?: unknown } } {
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const { cluster, descriptors } = handOver(options.cluster, options.account);
  if ((statSync(options.logPath, { throwIfNoEntry: false })?.size ?? 0) > logLimitBytes) {
    renameSync(options.logPath, `${options.logPath}.1`);
  }
  const log = openSync(options.logPath, 'a', 0o600);
  const ended: { by?: unknown } = {};
  try {
    const words = [
      '-D',
      cluster.data,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ];
    const child = spawn(options.runtime.postgres, words, {
      ...options.account.ids,
      cwd: '/',
      env: options.runtime.environment,
      detached: true,
      stdio: ['ignore', log, log, ...descriptors],
    });
    child.once('error', (error) => (ended.by = error));
    child.once('exit', (code, signal) => (ended.by = code ?? signal));
    child.unref();
    return { pid: child.pid, ended };
  } finally {
    [log, ...descriptors].forEach(closeSync);
  }
}

/**
 * Ends the server: SIGINT (fast: open transactions roll back, a checkpoint is written), and SIGQUIT when that takes
 * longer than 30 s (immediate: the next start recovers from the log).
 *
 * Source: postgresql.org/docs/18/server-shutdown.html
 */
export async function stopPostmaster(postmaster: Postmaster, log: Logger): Promise<void> {
  const startedAt = Date.now();
  signal(postmaster, 'SIGINT');
  let isUrged = false;
  while (isRunning(postmaster.identity)) {
    if (!isUrged && Date.now() - startedAt > fastStopMs) {
      isUrged = true;
      log.warn({ pid: postmaster.pid }, 'embedded postgres stops slowly, told to quit');
      signal(postmaster, 'SIGQUIT');
    }
    await sleep(pollMs);
  }
  log.info({ pid: postmaster.pid, durationMs: Date.now() - startedAt }, 'embedded postgres stopped');
}

function signal(postmaster: Postmaster, name: NodeJS.Signals): void {
  if (!isRunning(postmaster.identity)) return;
  try {
    process.kill(postmaster.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  readonly status: string;
}

/** Source: src/include/utils/pidfile.h: line 1 is the pid, 4 the port, 8 the state; it is written line by line. */
function readPostmasterFile(cluster: Cluster): PostmasterFile | undefined {
  try {
    const lines = readFileSync(join(cluster.data, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Number(lines[0]), port: Number(lines[3]), status: (lines[7] ?? '').trim() };
  } catch {
    return undefined;
  }
}

/** A postmaster works inside its data directory. Where that cannot be asked, the number is believed. */
function servesCluster(pid: number, cluster: Cluster): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(cluster.data);
  } catch {
    return process.platform !== 'linux';
  }
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-3).join(' | ');
  } catch {
    return '';
  }
}

const notReady = (cluster: Cluster): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_not_ready',
    `The embedded Postgres on ${cluster.data} runs and does not become ready within ${readyWithinMs / 1000} s. ` +
      'Look into postgres.log beside it; it may still be recovering. Start again later.',
  );

const startFailed = (logPath: string, failure: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_start_failed',
    `The embedded Postgres ends as soon as it starts (${String(failure)}): ${lastLines(logPath)}. ` +
      `Repair what ${logPath} names, or set DATABASE_URL to a Postgres of yours.`,
    { cause: failure },
  );
