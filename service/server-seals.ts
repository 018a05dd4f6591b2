import type { Database } from './platform/database.ts';
import type { Keys } from './platform/keys.ts';
import type { Seal } from './platform/seal.ts';
import { webhookSealed } from './schedules/webhook.ts';
import { earlierSealed } from './secrets/earlier-secrets.ts';
import { scopeSealed } from './secrets/secret-store.ts';
import { resealAll, sealedBy, type SealedTable } from './secrets/sealed-columns.ts';
import { templateSecretSealed } from './secrets/template-secrets.ts';

/** Every table of the rooms whose column `sealed` was sealed with the key ring; values of secrets have data keys. */
export const sealedTables: readonly SealedTable[] = [templateSecretSealed, earlierSealed, scopeSealed, webhookSealed];

/** Seals everything with the ring's current key, and says which keys of the ring are needed after that. */
export const makeReseal =
  (database: Database, seal: Seal, { current }: Pick<Keys, 'current'>) =>
  async () => ({
    ...(await resealAll(database, seal, current, sealedTables)),
    keysInUse: [...(await sealedBy(database, sealedTables)).keys()].sort(),
  });
