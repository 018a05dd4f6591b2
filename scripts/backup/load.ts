import type pg from 'pg';
import { allMigrations } from '../../service/migrations.ts';
import type { Database } from '../../service/platform/database.ts';
import { migrateEngine } from '../../service/platform/engine.ts';
import { holdDataLock, keepStartsAway, type DataLock } from '../../service/platform/engine-lock.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { migrateDatabase } from '../../service/platform/migrate.ts';
import { openBackup, type BackupHeader, type BackupLine } from './backup-file.ts';
import { schemas, readTables, type Table } from './tables.ts';

const rowsAtOnce = 200;
/** A process that has beaten within this time runs: three heartbeats. */
const aliveMs = 15_000;

export interface Loaded {
  readonly header: BackupHeader;
  readonly rows: number;
}

/**
 * Puts a backup into a database and brings it up to date.
 *
 * Errors  `conflict`: `data_in_use` while a service runs on it, `restore_over_data` where there is some and `force` is
 *         not said; `invalid`: `backup_newer` for one of a later version, `backup_unreadable`.
 * Safety  what was there is set aside until the last row is in, and put back when that fails; where the process was
 *         killed, by the next restore.
 */
export async function load(database: Database, path: string, options: { readonly force: boolean }): Promise<Loaded> {
  const { header, lines } = await openBackup(path);
  mustBeKnown(header);
  const lock = await holdDataLock({
    url: database.url,
    log: silentLogger,
    probeMs: 60_000,
    onTaken: () => undefined,
  });
  let alone: DataLock | undefined;
  try {
    // Services with a database of the user's own hold no lock on the data: they are on a list once they have started.
    alone = await keepStartsAway(database.url);
    await mustBeAlone(database);
    await takeBack(database);
    if (!options.force) await mustBeEmpty(database);
    await setAside(database);
    try {
      await migrateTo(database, header);
      const rows = await fill(database, lines);
      await migrateDatabase({ database, migrations: allMigrations, migrateEngine: () => migrateEngine(database.url) });
      await dropAside(database);
      return { header, rows };
    } catch (error) {
      await putBack(database);
      throw error;
    }
  } finally {
    await alone?.stop();
    await lock.stop();
  }
}

function mustBeKnown(header: BackupHeader): void {
  const unknown = header.migrations.filter((name) => !(name in allMigrations));
  if (unknown.length === 0) return;
  throw newer(header, `it has ${unknown.join(', ')}, which this version does not know`);
}

async function mustBeAlone(database: Database): Promise<void> {
  const { rows } = await database.pool.query<{ list: string | null }>(
    `select to_regclass('outrigger.replica')::text as list`,
  );
  if (rows[0]?.list == null) return;
  const { rowCount } = await database.pool.query(
    `select from outrigger.replica where seen_at > now() - $1 * interval '1 millisecond'`,
    [aliveMs],
  );
  if ((rowCount ?? 0) > 0)
    throw new ServiceError(
      'conflict',
      'data_in_use',
      `${rowCount} service process${rowCount === 1 ? '' : 'es'} run on this database. Stop them, wait 15 seconds, and restore again.`,
    );
}

/** Whatever changes writes an audit event, so a database without one holds nothing. */
async function holdsWork(database: Database): Promise<boolean> {
  const { rows } = await database.pool.query<{ audit: string | null }>(
    `select to_regclass('outrigger.audit_event')::text as audit`,
  );
  if (rows[0]?.audit == null) return false;
  const { rowCount } = await database.pool.query('select from outrigger.audit_event limit 1');
  return (rowCount ?? 0) > 0;
}

async function mustBeEmpty(database: Database): Promise<void> {
  if (await holdsWork(database))
    throw new ServiceError(
      'conflict',
      'restore_over_data',
      'This database holds work already, and a restore replaces all of it. Back it up first, then add --force.',
    );
}

/** The rows must meet the tables they were taken from; the newer migrations then change both. */
async function migrateTo(database: Database, header: BackupHeader): Promise<void> {
  const migrations = Object.fromEntries(
    header.migrations.map((name) => [name, allMigrations[name]]),
  ) as typeof allMigrations;
  await migrateDatabase({ database, migrations, migrateEngine: () => migrateEngine(database.url) });
  const { rows } = await database.pool.query<{ version: number }>(
    'select max(version)::int as version from dbos.dbos_migrations',
  );
  if ((rows[0]?.version ?? 0) < header.engine_migration) throw newer(header, 'its engine is newer than this one');
}

async function fill(database: Database, lines: AsyncIterable<BackupLine>): Promise<number> {
  return database.transaction(async ({ client }) => {
    const tables = await readTables(client);
    const names = tables.map(({ name }) => name);
    // Their effects are rows of the backup too; the owner of a table may do this, no superuser is needed.
    for (const name of names) await client.query(`alter table ${name} disable trigger user`);
    await client.query(`truncate ${names.join(', ')}`);
    const rows = await insertAll(client, tables, lines);
    for (const name of names) await client.query(`alter table ${name} enable trigger user`);
    return rows;
  });
}

async function insertAll(
  client: pg.ClientBase,
  tables: readonly Table[],
  lines: AsyncIterable<BackupLine>,
): Promise<number> {
  let into: Table | undefined;
  let waiting: string[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    if (into && waiting.length > 0) await insert(client, into, waiting);
    count += waiting.length;
    waiting = [];
  };
  for await (const line of lines) {
    if (typeof line === 'string') {
      waiting.push(line);
      if (waiting.length >= rowsAtOnce) await flush();
      continue;
    }
    await flush();
    if ('table' in line) into = mustBeTable(tables, line);
    else if ('sequence' in line) await client.query('select setval($1::regclass, $2)', [line.sequence, line.value]);
  }
  await flush();
  return count;
}

/** The names come from the file, so they are looked up in the catalog and never trusted. */
function mustBeTable(
  tables: readonly Table[],
  { table, columns }: { readonly table: string; readonly columns: readonly string[] },
): Table {
  const known = tables.find(({ name }) => name === table);
  if (known && columns.every((column) => known.columns.includes(column))) return { name: table, columns };
  throw new ServiceError(
    'invalid',
    'backup_unreadable',
    `The backup has a table ${table} with columns that this version does not know. Nothing was changed.`,
  );
}

async function insert(client: pg.ClientBase, { name, columns }: Table, rows: readonly string[]): Promise<void> {
  await client.query(
    `insert into ${name} (${columns.join(', ')}) overriding system value
     select ${columns.map((column) => `kept.${column}`).join(', ')}
       from unnest($1::text[]) as text, lateral json_populate_record(null::${name}, text::json) as kept`,
    [[...rows]],
  );
}

const aside = (schema: string): string => `${schema}_before_restore`;

/** Each of these moves all schemas or none: a restore may be killed at any time. */
const setAside = (database: Database): Promise<void> =>
  database.transaction(async ({ client }) => {
    for (const schema of schemas) {
      await client.query(`drop schema if exists ${aside(schema)} cascade`);
      if (await isSchema(client, schema)) await client.query(`alter schema ${schema} rename to ${aside(schema)}`);
    }
  });

const dropAside = (database: Database): Promise<void> =>
  database.transaction(async ({ client }) => {
    for (const schema of schemas) await client.query(`drop schema if exists ${aside(schema)} cascade`);
  });

const putBack = (database: Database): Promise<void> =>
  database.transaction(async ({ client }) => {
    for (const schema of schemas) {
      await client.query(`drop schema if exists ${schema} cascade`);
      if (await isSchema(client, aside(schema)))
        await client.query(`alter schema ${aside(schema)} rename to ${schema}`);
    }
  });

/** A restore that was killed before its rows were in has left what was there aside. */
async function takeBack(database: Database): Promise<void> {
  const { rowCount } = await database.pool.query('select from pg_namespace where nspname = any($1)', [
    schemas.map(aside),
  ]);
  if ((rowCount ?? 0) > 0 && !(await holdsWork(database))) await putBack(database);
}

async function isSchema(client: pg.ClientBase, name: string): Promise<boolean> {
  const { rowCount } = await client.query('select from pg_namespace where nspname = $1', [name]);
  return (rowCount ?? 0) > 0;
}

const newer = (header: BackupHeader, why: string): ServiceError =>
  new ServiceError(
    'invalid',
    'backup_newer',
    `This backup was made by a later version of Outrigger (${header.version}): ${why}. Restore it with that version. Nothing was changed.`,
  );
