import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openDatabase } from '../../service/platform/database.ts';
import { startEmbeddedPostgres } from '../../service/platform/embedded-postgres.ts';
import { migrateEngine } from '../../service/platform/engine.ts';
import { migrateDatabase } from '../../service/platform/migrate.ts';
import { clusterAt } from '../../service/platform/postgres-cluster.ts';
import { adoptPostmaster, stopPostmaster } from '../../service/platform/postgres-supervisor.ts';
import { identifyProcess } from '../../service/platform/process-identity.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { allMigrations } from '../../service/migrations.ts';

/** The server every test of one run shares, and the migrated database they are cloned from. */
export interface TestServer {
  readonly url: string;
  readonly template: string;
  stop(): Promise<void>;
}

const folderPrefix = 'outrigger-test-postgres-';
const databasePrefix = 'outrigger_test_';

/** Nothing here must survive a power loss, so nothing waits for the disk. */
const careless = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '100' };

/** `databaseUrl` names a server to use instead of an embedded one; it needs the right to create databases. */
export async function startTestServer(databaseUrl: string | undefined): Promise<TestServer> {
  const server = databaseUrl === undefined ? await startOwnServer() : { url: databaseUrl, stop: async () => undefined };
  try {
    const run = `${databasePrefix}${process.pid}_${Date.now().toString(36)}`;
    const marker = await markAlive(server.url, run);
    const template = `${run}_template`;
    await dropDeadDatabases(marker);
    await makeTemplate(marker, server.url, template);
    return { url: server.url, template, stop: () => stopServer(marker, run, server.stop) };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function startOwnServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  await removeDeadServers();
  const dataDir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  const server = await startEmbeddedPostgres({ dataDir, settings: careless });
  return {
    url: server.url,
    stop: async () => {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** A run that was killed left its server running: end it and remove its folder, unless it is another user's. */
async function removeDeadServers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || identifyProcess(Number(pid)) !== undefined) continue;
    const folder = join(tmpdir(), name);
    if (process.getuid?.() !== 0 && statSync(folder).uid !== process.getuid?.()) continue;
    const postmaster = await adoptPostmaster(clusterAt(folder)).catch(() => undefined);
    if (postmaster !== undefined) await stopPostmaster(postmaster, silentLogger);
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** A session named after the run shows every other run on this server that its databases are in use. */
async function markAlive(url: string, run: string): Promise<pg.Client> {
  const marker = new pg.Client({ connectionString: url, application_name: run });
  await marker.connect();
  return marker;
}

/** `pg_stat_activity` has a `datname` too: unqualified, every run would look dead and lose its databases to the next. */
async function dropDeadDatabases(marker: pg.Client): Promise<void> {
  const { rows } = await marker.query<{ datname: string }>(
    `select datname from pg_database where datname like $1 and not exists
       (select 1 from pg_stat_activity where application_name like $1 and starts_with(pg_database.datname::text || '_', application_name || '_'))`,
    [`${databasePrefix.replaceAll('_', '\\_')}%`],
  );
  for (const { datname } of rows) await marker.query(`drop database if exists ${datname} with (force)`);
}

async function makeTemplate(marker: pg.Client, serverUrl: string, template: string): Promise<void> {
  await marker.query(`create database ${template}`);
  const url = withDatabase(serverUrl, template);
  const database = openDatabase({ url });
  try {
    await migrateDatabase({ database, migrations: allMigrations, migrateEngine: () => migrateEngine(url) });
  } finally {
    await database.close();
  }
}

async function stopServer(marker: pg.Client, run: string, stop: () => Promise<void>): Promise<void> {
  const { rows } = await marker.query<{ datname: string }>(
    'select datname from pg_database where starts_with(datname, $1)',
    [run],
  );
  for (const { datname } of rows) await marker.query(`drop database if exists ${datname} with (force)`);
  await marker.end();
  await stop();
}
