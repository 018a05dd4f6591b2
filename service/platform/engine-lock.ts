import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ServiceError } from './errors.ts';
import type { Logger } from './logger.ts';

/** Key space of our advisory locks: the letters "outr". Postgres scopes them to one database. */
const lockSpace = 0x6f757472;
const locks = { data: 1, engineMigration: 2, restore: 3 } as const;

/** A killed process' connection keeps its lock until Postgres notices; a moment later it is free. */
const releaseGraceMs = 3000;

export interface DataLock {
  stop(): Promise<void>;
}

const dataInUse = () =>
  new ServiceError(
    'conflict',
    'data_in_use',
    'Another Outrigger service runs on this data, and only one may. Stop it, give this one its own OUTRIGGER_DATA_DIR, or set DATABASE_URL to run several.',
  );

/**
 * Holds the one lock on the data on a connection of its own until stopped.
 *
 * Errors   conflict `data_in_use` when another process holds it. A connection lost later is logged and dialled
 *          again each `probeMs`; `onTaken` runs once when another process took the lock meanwhile and keeps it for
 *          `reacquireGraceMs` (default 30000: a server too busy to answer us is also slow to drop our old connection).
 */
export async function holdDataLock(options: {
  url: string;
  log: Logger;
  probeMs: number;
  onTaken: () => void;
  reacquireGraceMs?: number;
}): Promise<DataLock> {
  const { url, log, probeMs, onTaken, reacquireGraceMs = 30_000 } = options;
  let released = false;
  const isReleased = () => released;
  let connection = await acquire(url, releaseGraceMs, isReleased);
  if (!connection) throw dataInUse();

  const probe = async () => {
    if (connection && (await isAlive(connection))) return;
    if (released) return;
    if (connection) {
      log.warn('lost the connection that holds the lock on the data; dialling again');
      await close(connection);
      connection = null;
    }
    const again = await acquire(url, reacquireGraceMs, isReleased);
    if (released) return void (again && (await close(again)));
    if (!again) {
      released = true;
      log.error('another service took the lock on the data while our connection was lost; the engine stops');
      onTaken();
      return;
    }
    connection = again;
    log.info('holds the lock on the data again');
  };
  const timer = setRepeating(probe, probeMs, (error) =>
    log.warn({ err: error }, 'cannot reach the database to hold the lock on the data'),
  );

  return {
    stop: async () => {
      released = true;
      await timer.stop();
      if (connection) await close(connection);
    },
  };
}

/**
 * Keeps restores away while a process starts: from before it migrates until it is on the list of replicas, where a
 * restore sees it. Many may start at once.
 *
 * Errors   conflict `restore_under_way`.
 */
export async function keepRestoresAway(url: string): Promise<DataLock> {
  const held = await holdRestoreLock(url, 'pg_try_advisory_lock_shared');
  if (held) return held;
  throw new ServiceError(
    'conflict',
    'restore_under_way',
    'A restore fills this database. Start the service when it has ended.',
  );
}

/** Keeps processes from starting while a restore fills the database. Errors: conflict `data_in_use`. */
export async function keepStartsAway(url: string): Promise<DataLock> {
  const held = await holdRestoreLock(url, 'pg_try_advisory_lock');
  if (held) return held;
  throw new ServiceError(
    'conflict',
    'data_in_use',
    'A service just starts on this database, or another restore fills it. Stop it, and restore again.',
  );
}

async function holdRestoreLock(
  url: string,
  take: 'pg_try_advisory_lock' | 'pg_try_advisory_lock_shared',
): Promise<DataLock | null> {
  const connection = await dial(url);
  const { rows } = await connection.query<{ ok: boolean }>(`select ${take}($1, $2) as ok`, [lockSpace, locks.restore]);
  if (rows[0]?.ok === true) return { stop: () => close(connection) };
  await close(connection);
  return null;
}

/** Runs `work` while no other process migrates the engine. Sleeps between tries: a waiting lock query would hold
 *  a snapshot that `create index concurrently` waits for. */
export async function withMigrationLock(url: string, work: () => Promise<void>): Promise<void> {
  const connection = await dial(url);
  try {
    while (!(await tryLock(connection, locks.engineMigration))) await sleep(100);
    await work();
  } finally {
    await close(connection);
  }
}

/** Calls `work` every `everyMs`, never twice at once; `stop` waits for an open call. */
export function setRepeating(
  work: () => Promise<void>,
  everyMs: number,
  onError: (error: unknown) => void,
): { stop(): Promise<void> } {
  let open: Promise<void> | null = null;
  const timer = setInterval(() => {
    open ??= work()
      .catch(onError)
      .finally(() => (open = null));
  }, everyMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await open;
    },
  };
}

async function acquire(url: string, patienceMs: number, isReleased: () => boolean): Promise<pg.Client | null> {
  const connection = await dial(url);
  const deadline = Date.now() + patienceMs;
  try {
    for (;;) {
      if (await tryLock(connection, locks.data)) return connection;
      if (Date.now() >= deadline || isReleased()) break;
      await sleep(100);
    }
  } catch (error) {
    await close(connection);
    throw error;
  }
  await close(connection);
  return null;
}

async function dial(url: string): Promise<pg.Client> {
  const connection = new pg.Client({
    connectionString: url,
    keepAlive: true,
    connectionTimeoutMillis: 5000,
    query_timeout: 5000,
  });
  // Without a listener a connection cut by the server would be an uncaught exception; the next query reports it.
  connection.on('error', () => undefined);
  await connection.connect();
  return connection;
}

/** A half-open connection never says goodbye, so nobody waits long for it. */
const close = (connection: pg.Client): Promise<void> =>
  Promise.race([connection.end().catch(() => undefined), sleep(1000, undefined, { ref: false })]);

async function tryLock(connection: pg.Client, lock: number): Promise<boolean> {
  const { rows } = await connection.query<{ ok: boolean }>('select pg_try_advisory_lock($1, $2) as ok', [
    lockSpace,
    lock,
  ]);
  return rows[0]?.ok === true;
}

const isAlive = (connection: pg.Client): Promise<boolean> =>
  connection.query('select 1').then(
    () => true,
    () => false,
  );
