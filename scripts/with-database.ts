import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase, type Database } from '../service/platform/database.ts';
import { startEmbeddedPostgres } from '../service/platform/embedded-postgres.ts';
import { ServiceError } from '../service/platform/errors.ts';

/** Which database: one of one's own, or the embedded one of a data directory, running or not. */
export interface DatabasePlace {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
}

export const postgresIn = (dataDir: string): string => join(dataDir, 'postgres');

/** Starting would make an empty database where there is none. */
export const isThere = ({ dataDir, databaseUrl }: DatabasePlace): boolean =>
  databaseUrl !== undefined || existsSync(postgresIn(dataDir));

/** For a person, without credentials. */
export function describePlace({ dataDir, databaseUrl }: DatabasePlace): string {
  if (databaseUrl === undefined) return `embedded, in ${dataDir}`;
  const url = new URL(databaseUrl);
  return `${url.hostname}:${url.port || '5432'}${url.pathname}`;
}

/**
 * Works on a database and leaves it as it was found: an embedded one that did not run is started, and stopped again
 * unless a service began to use it meanwhile.
 */
export async function withDatabase<Result>(
  { dataDir, databaseUrl }: DatabasePlace,
  work: (database: Database) => Promise<Result>,
): Promise<Result> {
  if (databaseUrl !== undefined) {
    if (!URL.canParse(databaseUrl)) throw badUrl();
    return withOpen(databaseUrl, work);
  }
  const postgres = await startEmbeddedPostgres({ dataDir: postgresIn(dataDir) });
  try {
    return await withOpen(postgres.url, work);
  } finally {
    // A service that started meanwhile has adopted the server we started.
    if (!postgres.adopted && !(await hasClients(postgres.url))) await postgres.stop();
  }
}

async function withOpen<Result>(url: string, work: (database: Database) => Promise<Result>): Promise<Result> {
  const database = openDatabase({ url, poolSize: 4 });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

const hasClients = (url: string): Promise<boolean> =>
  withOpen(url, async ({ pool }) => {
    const { rowCount } = await pool.query(
      `select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() limit 1`,
    );
    return (rowCount ?? 0) > 0;
  });

const badUrl = (): ServiceError =>
  new ServiceError(
    'invalid',
    'database_url_invalid',
    'The database URL is none. It looks like postgres://user@host:5432/name.',
  );
