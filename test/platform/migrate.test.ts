import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { sql, type Migration } from 'kysely';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { migrateDatabase } from '../../service/platform/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const statement = (text: string): Migration => ({ up: async (db) => void (await sql.raw(text).execute(db)) });
const withoutEngine = () => Promise.resolve();
const program = fileURLToPath(new URL('./migrate-program.ts', import.meta.url));

/** A database as it comes from `create database`: nothing of ours in it. */
async function emptied(): Promise<TestDatabase> {
  const made = await createTestDatabase();
  await made.database.pool.query('drop schema outrigger cascade; drop schema dbos cascade');
  return made;
}

describe('migrateDatabase', () => {
  let test: TestDatabase;
  beforeEach(async () => {
    test = await emptied();
  });
  afterEach(() => test.drop());

  const migrate = (migrations: Record<string, Migration>, migrateEngine: () => Promise<void> = withoutEngine) =>
    migrateDatabase({ database: test.database, migrations, migrateEngine });
  const tables = async () => {
    const { rows } = await test.database.pool.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = to_regnamespace('outrigger') and relkind = 'r' order by 1`,
    );
    return rows.map((row) => row.name);
  };

  it('makes the schema, then the engine migrates, then ours run in the order of their names', async () => {
    const order: string[] = [];
    const noting = (name: string): Migration => ({ up: () => Promise.resolve(void order.push(name)) });

    await migrate({ '2-b': noting('2-b'), '1-a': noting('1-a') }, async () => {
      const { rows } = await test.database.pool.query<{ there: boolean }>(
        `select to_regnamespace('outrigger') is not null as there`,
      );
      order.push(`engine, schema there: ${rows[0]?.there}`);
    });

    expect(order).toEqual(['engine, schema there: true', '1-a', '2-b']);
  });

  it('keeps its own tables inside our schema and leaves public alone', async () => {
    await migrate({ '1-note': statement('create table outrigger.note (id int)') });

    expect(await tables()).toEqual(['kysely_migration', 'kysely_migration_lock', 'note']);
    const { rowCount } = await test.database.pool.query(`select 1 from pg_tables where schemaname = 'public'`);
    expect(rowCount).toBe(0);
  });

  it('runs each migration once, also one that sorts before those already there', async () => {
    const later = { '2-later': statement('create table outrigger.later (id int)') };
    await migrate(later);

    await migrate({ ...later, '1-earlier': statement('create table outrigger.earlier (id int)') });

    expect(await tables()).toEqual(expect.arrayContaining(['earlier', 'later']));
  });

  it('applies nothing when one migration fails, and names it with the reason', async () => {
    const failing = migrate({
      '1-good': statement('create table outrigger.good (id int)'),
      '2-bad': statement('create table outrigger.bad (id nonsense)'),
    });

    await expect(failing).rejects.toMatchObject({ kind: 'internal', code: 'migration_failed' });
    await expect(failing).rejects.toThrow(/Migration 2-bad .*type "nonsense" does not exist/);
    expect(await tables()).toEqual(['kysely_migration', 'kysely_migration_lock']);
  });

  it('can be repeated after a failure, because the lock is free again', async () => {
    await expect(migrate({ '1-note': statement('create table nonsense') })).rejects.toThrow('1-note');

    await migrate({ '1-note': statement('create table outrigger.note (id int)') });

    expect(await tables()).toContain('note');
  });

  it('says so when the engine cannot migrate, and runs none of ours', async () => {
    const failing = migrate({ '1-note': statement('create table outrigger.note (id int)') }, () =>
      Promise.reject(new Error('no room on the disk')),
    );

    await expect(failing).rejects.toMatchObject({ kind: 'internal', code: 'engine_migration_failed' });
    await expect(failing).rejects.toThrow('no room on the disk');
    expect(await tables()).toEqual([]);
  });

  it('starts on a database of a later version after a roll-back, and the later one goes on afterwards', async () => {
    const ours = { '1-a': statement('create table outrigger.a (id int)') };
    const later = { ...ours, '2-b': statement('create table outrigger.b (id int)') };
    await migrate(later);

    await migrate(ours);
    await migrate(later);

    expect(await tables()).toEqual(expect.arrayContaining(['a', 'b']));
  });

  it('refuses a database of a later version that took something away, naming the migration', async () => {
    await migrate({
      '1-a': statement('create table outrigger.a (id int)'),
      '2-a-removes': statement('drop table outrigger.a'),
    });

    await expect(migrate({ '1-a': statement('select 1') })).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringContaining('2-a-removes') as unknown,
    });
  });

  it('lets four processes come at once: each migration runs once, with the engine, and nobody deadlocks', async () => {
    const children = Array.from({ length: 4 }, () =>
      fork(program, [test.url], { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }),
    );

    const ends = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as number));

    expect(ends).toEqual([0, 0, 0, 0]);
    const { rows } = await test.database.pool.query<{ runs: number }>('select count(*) as runs from outrigger.run');
    expect(rows).toEqual([{ runs: 2 }]);
    expect(
      (await test.database.pool.query(`select to_regclass('dbos.workflow_status') as t`)).rows[0].t,
    ).not.toBeNull();
  });
});
