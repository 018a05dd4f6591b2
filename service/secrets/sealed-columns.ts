import { sql } from 'kysely';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Seal } from '../platform/seal.ts';

/** A table whose column `sealed` was sealed with the service's key ring. */
export interface SealedTable {
  readonly table: string;
  /** What tells its rows apart, and what `contextOf` needs. */
  readonly columns: readonly string[];
  /** For what a row was sealed; anywhere else it does not open. */
  readonly contextOf: (row: Readonly<Record<string, string>>) => string;
}

interface Stored {
  readonly row: Readonly<Record<string, string>>;
  readonly sealed: Buffer;
}

const rowsAtOnce = 200;
/** So many rows of a key are tried before it is called the wrong one: a single row may have been tampered with. */
const tried = 20;

/** The version's name stands in the second byte's length from the third byte on: `platform/seal.ts`. */
const version = sql<string>`encode(substring(sealed from 3 for get_byte(sealed, 1)), 'escape')`;

/** How many values each key of the ring seals, by its version. */
export async function sealedBy(
  database: Pick<Database, 'as'>,
  tables: readonly SealedTable[],
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const { table } of tables) {
    const { rows } = await sql<{ version: string; count: number }>`
      select ${version} as version, count(*) as count from ${sql.table(table)}
      where length(sealed) > 2 group by 1`.execute(database.as<unknown>());
    for (const { version, count } of rows) counts.set(version, (counts.get(version) ?? 0) + count);
  }
  return counts;
}

/**
 * Returns when every key that stored values were sealed with is in the ring, and is the right one.
 *
 * Errors  `invalid` (`encryption_key_missing`, `encryption_key_wrong`) with the versions: the service must not start,
 *         because what it cannot open would be missing without anybody being told.
 */
export async function mustHoldKeys(
  database: Pick<Database, 'as'>,
  seal: Seal,
  keyring: ReadonlyMap<string, Buffer>,
  tables: readonly SealedTable[],
): Promise<void> {
  const used = [...(await sealedBy(database, tables)).keys()];
  const missing = used.filter((one) => /^[\w.-]{1,32}$/.test(one) && !keyring.has(one)).sort();
  if (missing.length > 0) throw keyMissing(missing);
  for (const one of used.filter((name) => keyring.has(name))) {
    const stored: (Stored & { readonly context: string })[] = [];
    for (const table of tables)
      for (const found of await read(database, table, sql`${version} = ${one}`, tried))
        stored.push({ ...found, context: table.contextOf(found.row) });
    if (stored.length > 0 && !stored.some(({ sealed, context }) => opens(seal, sealed, context))) throw keyWrong(one);
  }
}

/**
 * Seals everything with the ring's current key that another one sealed. Answers how many values that were.
 *
 * Safety  a value that somebody writes meanwhile stays as it is written: it has the current key already. One that does
 *         not open stays too, and is counted.
 */
export async function resealAll(
  database: Pick<Database, 'as'>,
  seal: Seal,
  current: string,
  tables: readonly SealedTable[],
): Promise<{ readonly resealed: number; readonly broken: number }> {
  let resealed = 0;
  let broken = 0;
  for (const table of tables) {
    let inTable = 0;
    for (;;) {
      const page = await read(database, table, sql`${version} <> ${current}`, rowsAtOnce, inTable);
      for (const one of page) {
        const isDone = await reseal(database, seal, table, one);
        if (isDone) resealed += 1;
        else inTable += 1;
      }
      if (page.length < rowsAtOnce) break;
    }
    broken += inTable;
  }
  return { resealed, broken };
}

async function reseal(
  database: Pick<Database, 'as'>,
  seal: Seal,
  { table, columns, contextOf }: SealedTable,
  { row, sealed }: Stored,
): Promise<boolean> {
  const context = contextOf(row);
  let value: Buffer;
  try {
    value = seal.open(sealed, context);
  } catch {
    return false;
  }
  const same = columns.map((column) => sql`${sql.ref(column)}::text = ${row[column]}`);
  await sql`
    update ${sql.table(table)} set sealed = ${seal.seal(value, context)}
    where ${sql.join(same, sql` and `)} and sealed = ${sealed}`.execute(database.as<unknown>());
  return true;
}

async function read(
  database: Pick<Database, 'as'>,
  { table, columns }: SealedTable,
  where: ReturnType<typeof sql>,
  limit: number,
  offset = 0,
): Promise<readonly Stored[]> {
  const texts = columns.map((column) => sql`${sql.ref(column)}::text as ${sql.ref(column)}`);
  const { rows } = await sql<Record<string, string> & { sealed: Buffer }>`
    select ${sql.join(texts)}, sealed from ${sql.table(table)}
    where length(sealed) > 2 and ${where}
    order by ${sql.join(columns.map((column) => sql.ref(column)))} limit ${limit} offset ${offset}`.execute(
    database.as<unknown>(),
  );
  return rows.map(({ sealed, ...row }) => ({ row, sealed }));
}

function opens(seal: Seal, sealed: Buffer, context: string): boolean {
  try {
    seal.open(sealed, context);
    return true;
  } catch {
    return false;
  }
}

const keyMissing = (versions: readonly string[]): ServiceError =>
  new ServiceError(
    'invalid',
    'encryption_key_missing',
    `Stored secrets were sealed with key version ${versions.join(', ')}, which the key ring does not hold. Add it to CREDENTIAL_ENCRYPTION_KEYRING; \`outrigger secret rotate\` makes it unneeded afterwards.`,
  );

const keyWrong = (name: string): ServiceError =>
  new ServiceError(
    'invalid',
    'encryption_key_wrong',
    `The key ring holds a key of version ${name}, but not the one that stored secrets were sealed with. Put the right key into CREDENTIAL_ENCRYPTION_KEYRING, or a backup's own with \`outrigger restore --keys\`.`,
  );
