import type pg from 'pg';
import type { Database } from '../../service/platform/database.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { schemas, readTables } from './tables.ts';
import { writeBackup, type BackupHeader, type BackupLine } from './backup-file.ts';

const rowsAtOnce = 500;

export interface Dumped {
  readonly header: BackupHeader;
  readonly rows: number;
  readonly tables: number;
}

/**
 * Copies everything there is to `path`, as it stood at one moment; the service may go on working meanwhile.
 *
 * Errors  `unavailable` (`nothing_to_back_up`) where there is no Outrigger in the database; `conflict` for a file that is there.
 */
export async function dump(
  database: Database,
  path: string,
  options: { readonly version: string; readonly now: Date; readonly force: boolean },
): Promise<Dumped> {
  const client = await database.pool.connect();
  try {
    await client.query('begin isolation level repeatable read, read only');
    await mustBeOurs(client);
    const header = await readHeader(client, options);
    const told = { rows: 0, tables: 0 };
    await writeBackup(path, header, linesOf(client, told), options);
    return { header, ...told };
  } finally {
    await client.query('rollback').catch(() => undefined);
    client.release(true);
  }
}

async function mustBeOurs(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query(`select to_regclass('outrigger.kysely_migration') as ours`);
  if ((rows[0] as { ours: unknown }).ours === null)
    throw new ServiceError(
      'unavailable',
      'nothing_to_back_up',
      'There is no Outrigger in this database. Name the one the service uses with --database-url or --data-dir.',
    );
}

async function readHeader(
  client: pg.ClientBase,
  { version, now }: { readonly version: string; readonly now: Date },
): Promise<BackupHeader> {
  const texts = async (text: string): Promise<string[]> =>
    (await client.query<{ value: string }>(text)).rows.map(({ value }) => value);
  const [engine] = await texts('select max(version)::text as value from dbos.dbos_migrations');
  const { rows: heads } = await client.query<{ position: number; hash: string }>(
    `select position, encode(hash, 'hex') as hash from outrigger.audit_checkpoint order by sequence desc limit 1`,
  );
  return {
    format: 'outrigger-backup-1',
    made_at: now.toISOString(),
    version,
    migrations: await texts('select name as value from outrigger.kysely_migration order by name'),
    engine_migration: Number(engine),
    audit_head: heads[0] ?? null,
    keys: {
      // The version's name stands in the second byte's length from the third byte on: platform/seal.ts.
      encryption: await texts(
        `select distinct convert_from(substring(sealed from 3 for get_byte(sealed, 1)), 'UTF8') as value
           from (select sealed from outrigger.agent_secret
                 union all select sealed from outrigger.template_secret
                 union all select sealed from outrigger.secret_scope
                 union all select sealed from outrigger.webhook) as kept
          order by 1`,
      ),
      audit: await texts('select distinct key_id as value from outrigger.audit_checkpoint order by 1'),
    },
  };
}

/** Each row is the JSON text that Postgres makes of it, kept as text so that no byte of a signed one changes. */
async function* linesOf(client: pg.ClientBase, told: { rows: number; tables: number }): AsyncIterable<BackupLine> {
  for (const { name, columns } of await readTables(client)) {
    yield { table: name, columns: [...columns] };
    told.tables += 1;
    await client.query(`declare kept no scroll cursor for select row_to_json(kept)::text as text from ${name} as kept`);
    for (;;) {
      const { rows } = await client.query<{ text: string }>(`fetch ${rowsAtOnce} from kept`);
      for (const { text } of rows) yield text;
      told.rows += rows.length;
      if (rows.length < rowsAtOnce) break;
    }
    await client.query('close kept');
  }
  const { rows } = await client.query<{ sequence: string; value: number }>(
    `select format('%I.%I', schemaname, sequencename) as sequence, last_value as value from pg_sequences
      where schemaname = any($1) and last_value is not null`,
    [[...schemas]],
  );
  yield* rows;
  yield { rows: told.rows };
}
