import { Migrator, type Migration } from 'kysely';
import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { schemaName, type Database } from './database.ts';
import { ServiceError } from './errors.ts';
import { silentLogger, type Logger } from './logger.ts';

/** Advisory locks share one number space per database: this one is ours, "outrigger" squeezed into 63 bits. */
const migrationLock = '8030882127389193331';
const pollMs = 100;
/** Kysely's own name for it. */
const migrationTable = 'kysely_migration';
/** How the name of a migration ends that an older version cannot work with; a release after the last use of what goes. */
const removes = '-removes';
/** As long as the longest migration of another replica may take. */
const lockWaitMs = 600_000;

export interface MigrationOptions {
  readonly database: Database;
  readonly migrations: Readonly<Record<string, Migration>>;
  /** The durable engine's own migration; it manages its connections and its transactions. */
  readonly migrateEngine: () => Promise<void>;
  readonly log?: Logger;
}

/**
 * Brings the database up to date: our schema, the engine's tables, then every migration that has not run, by name.
 *
 * Order    migrations run once each, also when several processes come at the same time: the others wait.
 * Errors   `internal`: `migration_failed` names the migration, and none of this run's stays applied (one
 *          transaction); `engine_migration_failed`; `unavailable` when another process holds the lock for ten minutes.
 * Safety   the lock is tried in a loop and never waited for inside Postgres: a waiting statement holds a snapshot, which
 *          the engine's `create index concurrently` waits for in turn, and both would wait for ever.
 */
export async function migrateDatabase(options: MigrationOptions): Promise<void> {
  const log = options.log ?? silentLogger;
  const connection = new pg.Client({ connectionString: options.database.url });
  connection.on('error', (error) => log.warn({ error: error.message }, 'connection of the migration lock lost'));
  await connection.connect();
  try {
    await lockMigrations(connection);
    const startedAt = Date.now();
    await connection.query(`create schema if not exists ${schemaName}`);
    await migrateEngineTables(options.migrateEngine);
    const applied = await migrateOwnTables(options);
    log.info({ applied, durationMs: Date.now() - startedAt }, 'database migrated');
  } finally {
    // Ending the session frees its advisory lock.
    await connection.end();
  }
}

async function lockMigrations(connection: pg.Client): Promise<void> {
  const deadline = Date.now() + lockWaitMs;
  for (;;) {
    const { rows } = await connection.query<{ locked: boolean }>(
      `select pg_try_advisory_lock(${migrationLock}) as locked`,
    );
    if (rows[0]?.locked === true) return;
    if (Date.now() > deadline) throw migrationsLocked();
    await sleep(pollMs);
  }
}

async function migrateEngineTables(migrateEngine: () => Promise<void>): Promise<void> {
  try {
    await migrateEngine();
  } catch (cause) {
    throw new ServiceError(
      'internal',
      'engine_migration_failed',
      `The engine's tables cannot be brought up to date: ${messageOf(cause)}. Repair what it names and start again.`,
      { cause },
    );
  }
}

async function migrateOwnTables({ database, migrations }: MigrationOptions): Promise<string[]> {
  const later = await readLater(database, migrations);
  const migrator = new Migrator({
    db: database.as<unknown>(),
    provider: { getMigrations: () => Promise.resolve({ ...later, ...migrations }) },
    allowUnorderedMigrations: true,
    migrationTableName: migrationTable,
    migrationTableSchema: schemaName,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    throw migrationFailed(results?.find((result) => result.status === 'Error')?.migrationName, error);
  }
  return (results ?? []).map((result) => result.migrationName);
}

/**
 * What a later version has applied and this one does not know: after a roll-back it is there and stays. Kysely would
 * refuse to go on, and still does where the later one took something away; what only adds serves both versions.
 */
async function readLater(
  database: Database,
  known: Readonly<Record<string, Migration>>,
): Promise<Record<string, Migration>> {
  const { rows: found } = await database.pool.query(`select from pg_tables where schemaname = $1 and tablename = $2`, [
    schemaName,
    migrationTable,
  ]);
  if (found.length === 0) return {};
  const { rows } = await database.pool.query<{ name: string }>(`select name from ${schemaName}.${migrationTable}`);
  const nothing: Migration = { up: () => Promise.resolve() };
  const added = rows.filter(({ name }) => !(name in known) && !name.endsWith(removes));
  return Object.fromEntries(added.map(({ name }) => [name, nothing]));
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

const migrationFailed = (name: string | undefined, cause: unknown): ServiceError =>
  new ServiceError(
    'internal',
    'migration_failed',
    `${name === undefined ? 'The migrations' : `Migration ${name}`} cannot be applied: ${messageOf(cause)}. ` +
      'The database is as it was before. Repair what the message names and start again.',
    { cause },
  );

const migrationsLocked = (): ServiceError =>
  new ServiceError(
    'unavailable',
    'migrations_locked',
    `Another process has been migrating this database for ${lockWaitMs / 60_000} minutes. Wait for it or stop it, then start again.`,
  );
