import type { Database, Transaction } from '../platform/database.ts';
import type { SecretRef } from './secret-place.ts';
import type { SealedTable } from './sealed-columns.ts';

/**
 * Secrets of organizations as versions before 2026-11-22 wrote them, sealed with the ring itself.
 *
 * They are read where nothing newer was written, and gone once they are written again or rotated. An older version that
 * is started again finds what is left.
 */
interface Tables {
  agent_secret: {
    organization_id: string;
    name: string;
    key: string;
    sealed: Buffer;
    created_at: Date;
    updated_at: Date;
    updated_by: string;
  };
}

const placeOf = (organizationId: string, { name, key }: SecretRef): string =>
  ['agent_secret', organizationId, name, key].map(encodeURIComponent).join('/');

export const earlierSealed: SealedTable = {
  table: 'agent_secret',
  columns: ['organization_id', 'name', 'key'],
  contextOf: ({ organization_id = '', name = '', key = '' }) => placeOf(organization_id, { name, key }),
};

export interface EarlierSecret extends SecretRef {
  readonly sealed: Buffer;
  readonly context: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly updatedBy: string;
}

/** Those of an organization, by name and key; only of one name where it is said. */
export async function earlierSecrets(
  database: Pick<Database, 'as'>,
  organizationId: string,
  name?: string,
): Promise<readonly EarlierSecret[]> {
  return (await select(database, organizationId, name).execute()).map(fromRow);
}

/** Those of one name, which nobody else writes or deletes until the transaction ends. */
export async function holdEarlier(
  tx: Transaction,
  organizationId: string,
  name: string,
): Promise<readonly EarlierSecret[]> {
  return (await select(tx, organizationId, name).forUpdate().execute()).map(fromRow);
}

function select(database: Pick<Database, 'as'>, organizationId: string, name?: string) {
  const query = database
    .as<Tables>()
    .selectFrom('agent_secret')
    .selectAll()
    .where('organization_id', '=', organizationId)
    .orderBy('name')
    .orderBy('key');
  return name === undefined ? query : query.where('name', '=', name);
}

const fromRow = (row: Tables['agent_secret']): EarlierSecret => ({
  name: row.name,
  key: row.key,
  sealed: row.sealed,
  context: placeOf(row.organization_id, row),
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  updatedBy: row.updated_by,
});

/** Answers the keys that there were. */
export async function dropEarlier(tx: Transaction, organizationId: string, name: string): Promise<readonly string[]> {
  const gone = await tx
    .as<Tables>()
    .deleteFrom('agent_secret')
    .where('organization_id', '=', organizationId)
    .where('name', '=', name)
    .returning('key')
    .execute();
  return gone.map(({ key }) => key);
}
