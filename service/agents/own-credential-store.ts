import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import type { Credential } from './agent-entry.ts';

interface Tables {
  own_credentials: {
    organization_id: string;
    owner_id: string;
    credentials: unknown;
    updated_at: Date;
  };
}

/** A person in an organization. */
export interface Person {
  readonly organizationId: string;
  readonly ownerId: string;
}

export async function ownCredentialsOf(
  database: Pick<Database, 'as'>,
  { organizationId, ownerId }: Person,
): Promise<readonly Credential[]> {
  const row = await database
    .as<Tables>()
    .selectFrom('own_credentials')
    .select('credentials')
    .where('organization_id', '=', organizationId)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst();
  return row === undefined ? [] : (row.credentials as Credential[]);
}

export async function saveOwnCredentials(
  tx: Transaction,
  { organizationId, ownerId }: Person,
  credentials: readonly Credential[],
  now: Date,
): Promise<void> {
  const changed = { credentials: storableJson(credentials), updated_at: now };
  await tx
    .as<Tables>()
    .insertInto('own_credentials')
    .values({ organization_id: organizationId, owner_id: ownerId, ...changed })
    .onConflict((conflict) => conflict.columns(['organization_id', 'owner_id']).doUpdateSet(changed))
    .execute();
}
