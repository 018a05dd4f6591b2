import type { Kysely } from 'kysely';
import type { Randomness } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { makeSeal, type Seal } from '../platform/seal.ts';
import { secretPath, type SecretPlace } from './secret-place.ts';
import type { SealedTable } from './sealed-columns.ts';

interface PlaceColumns {
  organization_id: string;
  /** Empty, because a primary key takes no null. */
  owner_id: string;
  workspace_id: string;
}

interface ScopeRow extends PlaceColumns {
  key_id: string;
  /** The place's data key, sealed with the ring. */
  sealed: Buffer;
  created_at: Date;
  rotated_at: Date;
}

interface SecretRow extends PlaceColumns {
  name: string;
  key: string;
  /** The value, sealed with the place's data key. */
  sealed: Buffer;
  rotate_after: Date | null;
  created_at: Date;
  updated_at: Date;
  updated_by: string;
}

export interface SecretTables {
  secret_scope: ScopeRow;
  secret: SecretRow;
}

const dataKeyBytes = 32;

const columnsOf = (place: SecretPlace): PlaceColumns => ({
  organization_id: place.organizationId,
  owner_id: place.ownerId ?? '',
  workspace_id: place.workspaceId ?? '',
});

export const placeOf = (row: PlaceColumns): SecretPlace => ({
  organizationId: row.organization_id,
  ownerId: row.owner_id === '' ? null : row.owner_id,
  workspaceId: row.workspace_id === '' ? null : row.workspace_id,
});

const keyContext = (place: SecretPlace, keyId: string): string => `secret_scope/${secretPath(place, keyId)}`;
const valueContext = (place: SecretPlace, name: string, key: string): string =>
  `secret/${secretPath(place, name)}/${encodeURIComponent(key)}`;

export const scopeSealed: SealedTable = {
  table: 'secret_scope',
  columns: ['organization_id', 'owner_id', 'workspace_id', 'key_id'],
  contextOf: ({ organization_id = '', owner_id = '', workspace_id = '', key_id = '' }) =>
    keyContext(placeOf({ organization_id, owner_id, workspace_id }), key_id),
};

/** Seals and opens values of one place with its data key. */
interface PlaceSeal {
  seal(name: string, key: string, value: string | Buffer): Buffer;
  open(name: string, key: string, sealed: Buffer): Buffer;
}

export interface SecretValueRow extends Pick<SecretRow, 'name' | 'key' | 'created_at' | 'updated_at' | 'updated_by'> {
  readonly rotate_after: Date | null;
}

/**
 * The envelope: each place has one data key, which the ring seals; values are sealed with the data key.
 *
 * Order   who writes holds the place's row shared and who rotates holds it alone, so no value is ever sealed with a key
 *         that was exchanged meanwhile. Who reads takes value and key from one snapshot and waits for nobody.
 */
export function makeSecretStore(parts: { readonly seal: Seal; readonly randomness: Randomness }) {
  const { seal: ring, randomness } = parts;

  const sealOf = (place: SecretPlace, row: Pick<ScopeRow, 'key_id' | 'sealed'>): PlaceSeal =>
    withKey(place, row.key_id, ring.open(row.sealed, keyContext(place, row.key_id)));
  const withKey = (place: SecretPlace, keyId: string, dataKey: Buffer): PlaceSeal => {
    const seal = makeSeal({ keyring: new Map([[keyId, dataKey]]), current: keyId, randomness });
    return {
      seal: (name, key, value) => seal.seal(value, valueContext(place, name, key)),
      open: (name, key, sealed) => seal.open(sealed, valueContext(place, name, key)),
    };
  };
  const newKey = (place: SecretPlace) => {
    const keyId = randomness.bytes(6).toString('hex');
    const dataKey = randomness.bytes(dataKeyBytes);
    return { key_id: keyId, dataKey, sealed: ring.seal(dataKey, keyContext(place, keyId)) };
  };

  /** The place's key, made where there is none; held until the transaction ends. */
  async function hold(tx: Transaction, place: SecretPlace, now: Date): Promise<PlaceSeal> {
    const db = tx.as<SecretTables>();
    for (;;) {
      const row = await at(db, place).select(['key_id', 'sealed']).forShare().executeTakeFirst();
      if (row !== undefined) return sealOf(place, row);
      const { key_id, sealed } = newKey(place);
      await db
        .insertInto('secret_scope')
        .values({ ...columnsOf(place), key_id, sealed, created_at: now, rotated_at: now })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
  }

  return {
    hold,

    async write(
      tx: Transaction,
      place: SecretPlace,
      value: { name: string; key: string; sealed: Buffer; rotateAfter: Date | null; by: string; now: Date },
    ): Promise<void> {
      const changed = {
        sealed: value.sealed,
        rotate_after: value.rotateAfter,
        updated_at: value.now,
        updated_by: value.by,
      };
      await tx
        .as<SecretTables>()
        .insertInto('secret')
        .values({ ...columnsOf(place), name: value.name, key: value.key, created_at: value.now, ...changed })
        .onConflict((conflict) =>
          conflict.columns(['organization_id', 'owner_id', 'workspace_id', 'name', 'key']).doUpdateSet(changed),
        )
        .execute();
    },

    /** Deletes the keys of a secret but those that are kept, and answers which. */
    async drop(tx: Transaction, place: SecretPlace, name: string, kept: readonly string[]): Promise<string[]> {
      let query = tx.as<SecretTables>().deleteFrom('secret').where('name', '=', name);
      for (const [column, value] of Object.entries(columnsOf(place)) as [keyof PlaceColumns, string][])
        query = query.where(column, '=', value);
      if (kept.length > 0) query = query.where('key', 'not in', [...kept]);
      return (await query.returning('key').execute()).map(({ key }) => key);
    },

    /** How many secrets of other names the place holds. */
    async countOthers(tx: Transaction, place: SecretPlace, name: string): Promise<number> {
      const { organization_id, owner_id, workspace_id } = columnsOf(place);
      const { count } = await tx
        .as<SecretTables>()
        .selectFrom('secret')
        .select((select) => select.fn.count<number>('name').distinct().as('count'))
        .where('organization_id', '=', organization_id)
        .where('owner_id', '=', owner_id)
        .where('workspace_id', '=', workspace_id)
        .where('name', '<>', name)
        .executeTakeFirstOrThrow();
      return count;
    },

    /** Every value's row of a place without the value, by name and key. */
    async rows(database: Pick<Database, 'as'>, place: SecretPlace): Promise<readonly SecretValueRow[]> {
      const { organization_id, owner_id, workspace_id } = columnsOf(place);
      return database
        .as<SecretTables>()
        .selectFrom('secret')
        .select(['name', 'key', 'rotate_after', 'created_at', 'updated_at', 'updated_by'])
        .where('organization_id', '=', organization_id)
        .where('owner_id', '=', owner_id)
        .where('workspace_id', '=', workspace_id)
        .orderBy('name')
        .orderBy('key')
        .execute();
    },

    /** The value in the clear and when it was written; null where there is none. Throws `seal_broken`. */
    async read(
      database: Pick<Database, 'as'>,
      place: SecretPlace,
      name: string,
      key: string,
    ): Promise<{ readonly value: string; readonly updatedAt: Date } | null> {
      const { organization_id, owner_id, workspace_id } = columnsOf(place);
      const row = await database
        .as<SecretTables>()
        .selectFrom('secret')
        .innerJoin('secret_scope', (join) =>
          join
            .onRef('secret_scope.organization_id', '=', 'secret.organization_id')
            .onRef('secret_scope.owner_id', '=', 'secret.owner_id')
            .onRef('secret_scope.workspace_id', '=', 'secret.workspace_id'),
        )
        .select(['secret.sealed as value', 'secret.updated_at', 'secret_scope.key_id', 'secret_scope.sealed'])
        .where('secret.organization_id', '=', organization_id)
        .where('secret.owner_id', '=', owner_id)
        .where('secret.workspace_id', '=', workspace_id)
        .where('secret.name', '=', name)
        .where('secret.key', '=', key)
        .executeTakeFirst();
      if (row === undefined) return null;
      const value = sealOf(place, row).open(name, key, row.value).toString('utf8');
      return { value, updatedAt: row.updated_at };
    },

    /** Exchanges a place's data key and seals all its values anew. Answers how many those were. */
    async rotate(tx: Transaction, place: SecretPlace, now: Date): Promise<number> {
      const db = tx.as<SecretTables>();
      const row = await at(db, place).select(['key_id', 'sealed']).forUpdate().executeTakeFirst();
      if (row === undefined) return 0;
      const before = sealOf(place, row);
      const { key_id, dataKey, sealed } = newKey(place);
      const after = withKey(place, key_id, dataKey);
      const values = await tx.client.query<{ name: string; key: string; sealed: Buffer }>(
        'select name, key, sealed from secret where organization_id = $1 and owner_id = $2 and workspace_id = $3',
        Object.values(columnsOf(place)),
      );
      for (const value of values.rows) {
        const again = after.seal(value.name, value.key, before.open(value.name, value.key, value.sealed));
        await tx.client.query(
          `update secret set sealed = $6 where organization_id = $1 and owner_id = $2 and workspace_id = $3
              and name = $4 and key = $5`,
          [...Object.values(columnsOf(place)), value.name, value.key, again],
        );
      }
      const { organization_id, owner_id, workspace_id } = columnsOf(place);
      await db
        .updateTable('secret_scope')
        .set({ key_id, sealed, rotated_at: now })
        .where('organization_id', '=', organization_id)
        .where('owner_id', '=', owner_id)
        .where('workspace_id', '=', workspace_id)
        .execute();
      return values.rows.length;
    },

    /** Every place of an organization that has a key; those of one owner where that is said. */
    async places(
      database: Pick<Database, 'as'>,
      of: { readonly organizationId: string; readonly ownerId?: string },
    ): Promise<readonly SecretPlace[]> {
      let query = database
        .as<SecretTables>()
        .selectFrom('secret_scope')
        .select(['organization_id', 'owner_id', 'workspace_id'])
        .where('organization_id', '=', of.organizationId);
      if (of.ownerId !== undefined) query = query.where('owner_id', '=', of.ownerId);
      return (await query.orderBy('owner_id').orderBy('workspace_id').execute()).map(placeOf);
    },
  };
}

function at(db: Kysely<SecretTables>, place: SecretPlace) {
  const { organization_id, owner_id, workspace_id } = columnsOf(place);
  return db
    .selectFrom('secret_scope')
    .where('organization_id', '=', organization_id)
    .where('owner_id', '=', owner_id)
    .where('workspace_id', '=', workspace_id);
}
