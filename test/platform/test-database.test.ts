import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

describe('createTestDatabase', () => {
  const made: TestDatabase[] = [];
  const make = async () => {
    const database = await createTestDatabase();
    made.push(database);
    return database;
  };

  afterEach(async () => {
    await Promise.all(made.splice(0).map((database) => database.drop()));
  });

  it('gives a database with our migrations and those of the engine', async () => {
    const { database } = await make();

    const { rows } = await database.pool.query<{ ours: string | null; engine: string | null }>(
      `select to_regclass('outrigger.kysely_migration')::text as ours, to_regclass('dbos.workflow_status')::text as engine`,
    );

    expect(rows[0]).toEqual({ ours: 'kysely_migration', engine: 'dbos.workflow_status' });
  });

  it('gives each caller a database of its own, also at the same time', async () => {
    const [one, other] = await Promise.all([make(), make()]);

    await one.database.pool.query('create table outrigger.only_here (id int)');

    const { rows } = await other.database.pool.query(`select to_regclass('outrigger.only_here') as found`);
    expect(rows).toEqual([{ found: null }]);
  });

  it('leaves nothing on the server once dropped, although someone is still connected', async () => {
    const keeper = await make();
    const dropped = await createTestDatabase();
    const lingering = new pg.Client({ connectionString: dropped.url });
    lingering.on('error', () => undefined);
    await lingering.connect();

    await dropped.drop();

    const name = new URL(dropped.url).pathname.slice(1);
    const { rowCount } = await keeper.database.pool.query('select 1 from pg_database where datname = $1', [name]);
    expect(rowCount).toBe(0);
  });
});
