import { anchorPathIn } from './audit/anchor.ts';
import type { Config } from './config.ts';
import { allMigrations } from './migrations.ts';
import { prepareDataDirectory } from './platform/data-directory.ts';
import { openDatabase, type Database } from './platform/database.ts';
import { startEmbeddedPostgres } from './platform/embedded-postgres.ts';
import { migrateEngine } from './platform/engine.ts';
import { keepRestoresAway } from './platform/engine-lock.ts';
import { loadOrCreateKeys, type Keys } from './platform/keys.ts';
import type { Logger } from './platform/logger.ts';
import { migrateDatabase } from './platform/migrate.ts';
import { makeSeal } from './platform/seal.ts';
import { sealedTables } from './server-seals.ts';
import { mustHoldKeys } from './secrets/sealed-columns.ts';

/** What was started, to be stopped in the opposite order. */
export type Undo = (() => Promise<unknown>)[];

/** The data of this service, open: database, keys, and where the audit's head is remembered. */
export interface OpenData {
  readonly database: Database;
  readonly keys: Keys;
  readonly anchorPath: string;
  /** Said once the engine has started: only then may it stop a Postgres that it did not start, and a restore sees it. */
  readonly own: () => void;
}

/** Opens the data directory, its keys and its database, brought up to date. What must be closed again goes onto `undo`. */
export async function openData({ config, log }: { config: Config; log: Logger }, undo: Undo): Promise<OpenData> {
  const directory = prepareDataDirectory(config.dataDir);
  const keys = await loadOrCreateKeys({
    directory: directory.keys,
    keyring: config.keyring,
    keyVersion: config.keyVersion,
    auditSigningKey: config.auditSigningKey,
    mayGenerate: !config.mayHaveReplicas,
  });
  let url = config.databaseUrl;
  let isOurs = false;
  if (url === undefined) {
    const postgres = await startEmbeddedPostgres({ dataDir: directory.postgres, log });
    // Another service may be running on it: `engine.start` refuses this one, which must not take it down.
    undo.push(() => (isOurs || !postgres.adopted ? postgres.stop() : Promise.resolve()));
    url = postgres.url;
  }
  const database = openDatabase({
    url,
    poolSize: 20,
    onError: (error) => log.warn({ error: error.message }, 'database connection lost'),
  });
  undo.push(() => database.close());
  const starting = await keepRestoresAway(url);
  undo.push(() => starting.stop());
  await migrateDatabase({ database, migrations: allMigrations, migrateEngine: () => migrateEngine(database.url), log });
  await mustHoldKeys(database, makeSeal(keys), keys.keyring, sealedTables);
  return {
    database,
    keys,
    anchorPath: anchorPathIn(config.dataDir, config.databaseUrl),
    own: () => {
      isOurs = true;
      void starting.stop();
    },
  };
}
