import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { openDatabase, type Database } from '../../service/platform/database.ts';
import { withDatabase } from './database-server.ts';

export interface TestDatabase {
  readonly url: string;
  readonly database: Database;
  /** Closes `database` and removes it from the server, whoever is still connected. */
  drop(): Promise<void>;
}

/**
 * An own database with every table of ours and the engine's, and nothing in them. Takes about 30 ms.
 *
 * Errors  when jest's global setup did not run: it alone starts the server and makes the template.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { server, template } = testServer();
  const name = `${template.replace(/_template$/, '')}_${randomBytes(6).toString('hex')}`;
  await execute(server, `create database ${name} template ${template} strategy file_copy`);
  const url = withDatabase(server, name);
  const database = openDatabase({ url });
  return {
    url,
    database,
    drop: async () => {
      await database.close();
      await execute(server, `drop database if exists ${name} with (force)`);
    },
  };
}

function testServer(): { server: string; template: string } {
  const { OUTRIGGER_TEST_SERVER: server, OUTRIGGER_TEST_TEMPLATE: template } = process.env;
  if (server === undefined || template === undefined) {
    throw new Error('There is no test server. Run the tests through jest, whose global setup starts one.');
  }
  return { server, template };
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
