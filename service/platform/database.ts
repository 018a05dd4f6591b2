import { Kysely, PostgresDialect, type PostgresPool } from 'kysely';
import pg from 'pg';

/** Our own schema; the engine keeps its tables in another. */
export const schemaName = 'outrigger';

// int8 counters of ours stay far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** One open transaction. A room sees its own tables through `as`. */
export interface Transaction {
  as<Tables>(): Kysely<Tables>;
  /** The connection beneath, for parts that need the driver itself (the engine, NOTIFY). */
  readonly client: pg.PoolClient;
}

export interface Database {
  /** Reads outside a transaction. */
  as<Tables>(): Kysely<Tables>;
  readonly pool: pg.Pool;
  readonly url: string;
  /** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
  transaction<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly poolSize?: number;
  readonly onError?: (error: Error) => void;
}

/** Opens a pool on `url`; nothing is dialled before the first query. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize ?? 10,
    options: `-c search_path=${schemaName}`,
    connectionTimeoutMillis: 15_000,
  });
  pool.on('error', (error) => options.onError?.(error));
  // A client in use is nobody's but its user's, whose query fails: without a listener its event would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const whole = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return {
    as: <Tables>() => whole as Kysely<Tables>,
    pool,
    url: options.url,
    transaction: (work) => inTransaction(pool, work),
    // Not Kysely's destroy: it leaves the pool open when no query ran through it.
    close: () => (pool.ended ? Promise.resolve() : pool.end()),
  };
}

async function inTransaction<Result>(pool: pg.Pool, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const bound = kyselyOver(client);
    const result = await work({ as: <Tables>() => bound as Kysely<Tables>, client });
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => (broken = rollbackError));
    throw error;
  } finally {
    client.release(broken);
  }
}

/** A query builder bound to one connection, so that it shares the transaction begun on it. */
function kyselyOver(client: pg.PoolClient): Kysely<unknown> {
  const pool: PostgresPool = {
    connect: () =>
      Promise.resolve({
        query: client.query.bind(client) as never,
        release: () => undefined,
      }),
    end: () => Promise.resolve(),
  };
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}

/** Wakes whoever listens on `channel` when the transaction commits. Payload ≤ 8000 bytes. */
export async function notify(tx: Transaction, channel: string, payload: string): Promise<void> {
  await tx.client.query('select pg_notify($1, $2)', [channel, payload]);
}
