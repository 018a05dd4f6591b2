import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../../service/platform/embedded-postgres.ts';
import { identifyProcess } from '../../../service/platform/process-identity.ts';
import { until } from '../engine-harness.ts';
import { startBalancer } from './balancer.ts';

/** A Postgres of the test's own that may crash and come back at the same address. */
export interface RestartablePostgres {
  readonly url: string;
  /** Ends it as a crash would (its next start recovers from the log), and starts it again. */
  crash(): Promise<void>;
  /** Cuts every connection but those of the test; answers how many. */
  killBackends(): Promise<number>;
  /** Lets nobody touch the tasks for so long, so that every connection of every pool waits. */
  exhaustPools(milliseconds: number): Promise<void>;
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  end(): Promise<void>;
}

/** What is committed survives the death of the server; only the machine's own would take it. */
const settings = { fsync: 'off', full_page_writes: 'off', max_connections: '150' };
const ownName = 'outrigger-test-itself';

export async function startRestartablePostgres(): Promise<RestartablePostgres> {
  const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-restartable-'));
  let server: EmbeddedPostgres = await startEmbeddedPostgres({ dataDir, settings });
  const balancer = await startBalancer(() => [server.url]);
  const url = new URL(server.url);
  url.port = new URL(balancer.url).port;

  async function withClient<Result>(work: (client: pg.Client) => Promise<Result>): Promise<Result> {
    const client = new pg.Client({ connectionString: server.url, application_name: ownName });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  return {
    url: url.href,
    async crash() {
      process.kill(server.pid, 'SIGQUIT');
      await until('Postgres to be gone', () => identifyProcess(server.pid) === undefined);
      server = await startEmbeddedPostgres({ dataDir, settings });
    },
    killBackends: () =>
      withClient(async (client) => {
        const { rowCount } = await client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name <> $1`,
          [ownName],
        );
        return rowCount ?? 0;
      }),
    exhaustPools: (milliseconds) =>
      withClient(async (client) => {
        await client.query('begin');
        await client.query('lock table outrigger.task in access exclusive mode');
        await client.query('select pg_sleep($1)', [milliseconds / 1000]);
        await client.query('rollback');
      }),
    query: async (text, values = []) => withClient(async (client) => (await client.query(text, [...values])).rows),
    async end() {
      await balancer.close();
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
