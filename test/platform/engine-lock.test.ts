import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { holdDataLock, keepRestoresAway, keepStartsAway, type DataLock } from '../../service/platform/engine-lock.ts';
import { createLogger } from '../../service/platform/logger.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/engine-harness.ts';

let test: TestDatabase;
let lines: string[];
let locks: DataLock[];

beforeEach(async () => {
  test = await createTestDatabase();
  lines = [];
  locks = [];
});

afterEach(async () => {
  for (const lock of locks) await lock.stop();
  await test.drop();
});

const log = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } });

async function hold(onTaken: () => void = () => undefined): Promise<DataLock> {
  const lock = await holdDataLock({ url: test.url, log, probeMs: 50, onTaken, reacquireGraceMs: 300 });
  locks.push(lock);
  return lock;
}

const holders = async (): Promise<number[]> => {
  const { rows } = await test.database.pool.query<{ pid: number }>(
    `select pid from pg_locks where locktype = 'advisory' and granted
       and database = (select oid from pg_database where datname = current_database())`,
  );
  return rows.map((row) => row.pid);
};

const cut = (pid: number | undefined) => test.database.pool.query('select pg_terminate_backend($1)', [pid]);

describe('the lock on the data', () => {
  it('is held by one, and free again when that one stops', async () => {
    const first = await hold();

    await expect(hold()).rejects.toMatchObject({ kind: 'conflict', code: 'data_in_use' });
    await first.stop();
    await hold();

    expect(await holders()).toHaveLength(1);
  });

  it('is taken again, with a line in the log, when its connection is cut', async () => {
    await hold();
    const [before] = await holders();

    await cut(before);
    const after = await until('another connection to hold it', async () =>
      (await holders()).find((pid) => pid !== before),
    );

    expect(after).not.toBe(before);
    await until('the log to say so', () => lines.length === 2);
    expect(lines.map((line) => (JSON.parse(line) as { level: string; msg: string }).msg)).toEqual([
      'lost the connection that holds the lock on the data; dialling again',
      'holds the lock on the data again',
    ]);
  });

  it('tells its holder once when another service took it meanwhile', async () => {
    let taken = 0;
    await hold(() => (taken += 1));
    const [before] = await holders();
    const { rows } = await test.database.pool.query<{ space: number; lock: number }>(
      `select classid::int as space, objid::int as lock from pg_locks where locktype = 'advisory' and pid = $1`,
      [before],
    );
    const other = new pg.Client({ connectionString: test.url });
    await other.connect();
    try {
      const queued = other.query('select pg_advisory_lock($1, $2)', [rows[0]?.space, rows[0]?.lock]);
      await until('the other to queue for it', async () => {
        const waiting = await test.database.pool.query(
          `select from pg_locks where locktype = 'advisory' and not granted`,
        );
        return waiting.rowCount === 1;
      });

      await cut(before);
      await queued;
      await until('the holder to be told', () => taken === 1);

      expect(lines.at(-1)).toContain('another service took the lock');
    } finally {
      await other.end();
    }
  });
});

describe('a restore and the start of a service', () => {
  it('keep each other away, and starts do not', async () => {
    const starts = [await keepRestoresAway(test.url), await keepRestoresAway(test.url)];
    await expect(keepStartsAway(test.url)).rejects.toMatchObject({ code: 'data_in_use' });
    for (const start of starts) await start.stop();

    const restore = await keepStartsAway(test.url);
    await expect(keepRestoresAway(test.url)).rejects.toMatchObject({
      code: 'restore_under_way',
      message: expect.stringContaining('when it has ended'),
    });
    await expect(keepStartsAway(test.url)).rejects.toMatchObject({ code: 'data_in_use' });
    await restore.stop();

    await (await keepRestoresAway(test.url)).stop();
  });
});
