import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startTestServer } from './database-server.ts';

const server = process.env['OUTRIGGER_TEST_SERVER'] ?? '';
const open: pg.Client[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.end();
});

async function connect(application_name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: server, application_name });
  open.push(client);
  await client.connect();
  return client;
}

describe('a server that several runs share', () => {
  it('loses the databases of runs that are over when another begins, and keeps those of a run that goes on', async () => {
    const [alive, dead] = ['alive', 'dead'].map((word) => `outrigger_test_${process.pid}${word}`);
    const marker = await connect(`${alive}`);
    for (const run of [alive, dead]) await marker.query(`create database ${run}_one`);
    const left = async (): Promise<string[]> =>
      (
        await marker.query<{ datname: string }>('select datname from pg_database where datname = any($1)', [
          [`${alive}_one`, `${dead}_one`],
        ])
      ).rows.map(({ datname }) => datname);

    const another = await startTestServer(server);
    const found = await left();
    await another.stop();
    await marker.query(`drop database if exists ${alive}_one`);

    expect(found).toEqual([`${alive}_one`]);
    expect(await left()).toEqual([]);
  });
});
