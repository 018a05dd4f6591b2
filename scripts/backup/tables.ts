import type pg from 'pg';

/** A table as the catalog has it: its name as SQL writes it, and its columns that are stored. */
export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

export const schemas = ['outrigger', 'dbos'] as const;

/** What says which version made the tables is written by that version; who runs here is nothing to keep. */
const notKept = [
  'outrigger.kysely_migration',
  'outrigger.kysely_migration_lock',
  'outrigger.replica',
  'dbos.dbos_migrations',
];

/** Every table that is kept, in an order in which each comes after those it refers to. */
export async function readTables(client: pg.ClientBase): Promise<readonly Table[]> {
  const { rows } = await client.query<Table>(
    `select format('%I.%I', table_schema, table_name) as name,
            array_agg(quote_ident(column_name) order by ordinal_position)::text[] as columns
       from information_schema.columns
       join information_schema.tables using (table_schema, table_name)
      where table_schema = any($1) and table_type = 'BASE TABLE' and is_generated = 'NEVER'
      group by table_schema, table_name
      order by 1`,
    [[...schemas]],
  );
  const tables = rows.filter(({ name }) => !notKept.includes(name));
  return inOrder(tables, await readReferences(client));
}

async function readReferences(
  client: pg.ClientBase,
): Promise<readonly { readonly from: string; readonly to: string }[]> {
  const { rows } = await client.query<{ from: string; to: string }>(
    `select format('%I.%I', fn.nspname, f.relname) as from, format('%I.%I', tn.nspname, t.relname) as to
       from pg_constraint
       join pg_class f on f.oid = conrelid join pg_namespace fn on fn.oid = f.relnamespace
       join pg_class t on t.oid = confrelid join pg_namespace tn on tn.oid = t.relnamespace
      where contype = 'f' and fn.nspname = any($1) and conrelid <> confrelid`,
    [[...schemas]],
  );
  return rows;
}

function inOrder(
  tables: readonly Table[],
  references: readonly { readonly from: string; readonly to: string }[],
): readonly Table[] {
  const placed: Table[] = [];
  const open = new Set(tables);
  while (open.size > 0) {
    const waits = ({ name }: Table): boolean =>
      references.some(({ from, to }) => from === name && [...open].some((other) => other.name === to));
    const ready = [...open].filter((table) => !waits(table));
    if (ready.length === 0)
      throw new Error(`These tables refer to each other: ${[...open].map(({ name }) => name).join(', ')}`);
    for (const table of ready) {
      placed.push(table);
      open.delete(table);
    }
  }
  return placed;
}
