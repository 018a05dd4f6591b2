import { expect, it } from '@jest/globals';
import { allMigrations } from '../../service/migrations.ts';
import { createTestDatabase } from '../support/database.ts';

/** Those of the earlier version that a roll-back leads to have names before this. */
const since = '2026-11-22';

it('later migrations can be taken back, and leave an earlier version able to write every row', async () => {
  const { database, drop } = await createTestDatabase();
  const later = Object.entries(allMigrations)
    .filter(([name]) => name >= since)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  /** Columns by table, and whether a row must name them. */
  const columns = async (): Promise<Map<string, Map<string, boolean>>> => {
    const { rows } = await database.pool.query<{ table: string; column: string; needed: boolean }>(
      `select table_name as table, column_name as column,
              is_nullable = 'NO' and column_default is null and is_identity = 'NO' as needed
         from information_schema.columns where table_schema = 'outrigger'`,
    );
    const found = new Map<string, Map<string, boolean>>();
    for (const { table, column, needed } of rows)
      found.set(table, (found.get(table) ?? new Map<string, boolean>()).set(column, needed));
    return found;
  };
  const now = await columns();

  for (const [name, { down }] of [...later].reverse()) {
    if (!down) throw new Error(`${name} cannot be taken back.`);
    await down(database.as<unknown>());
  }
  const before = await columns();
  for (const [, { up }] of later) await up(database.as<unknown>());

  expect(await columns()).toEqual(now);
  const demanded = [...before].flatMap(([table, known]) =>
    [...(now.get(table) ?? [])]
      .filter(([column, needed]) => needed && known.get(column) !== true)
      .map(([column]) => `${table}.${column}`),
  );
  expect(demanded).toEqual([]);
  await drop();
});
