import { sql, type Migration } from 'kysely';
import { openDatabase } from '../../service/platform/database.ts';
import { migrateEngine } from '../../service/platform/engine.ts';
import { migrateDatabase } from '../../service/platform/migrate.ts';

/** One of several processes that migrate the same database at once: `migrate-program.ts <url>`. */
const url = process.argv[2] ?? '';
const database = openDatabase({ url });

const run = (text: string): Migration => ({ up: async (db) => void (await sql.raw(text).execute(db)) });
const migrations = {
  '1-table': run('create table outrigger.run (name text); insert into outrigger.run values (1)'),
  '2-slow': run('insert into outrigger.run select 2 from pg_sleep(0.3)'),
};

await migrateDatabase({ database, migrations, migrateEngine: () => migrateEngine(url) });
await database.close();
