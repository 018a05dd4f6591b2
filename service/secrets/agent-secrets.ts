import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import type { Seal } from '../platform/seal.ts';

/** Points at one value: a secret of the organization, and a key in it. */
export interface SecretRef {
  readonly name: string;
  readonly key: string;
}

/** All that a secret shows of itself. */
export interface SecretMetadata {
  readonly name: string;
  readonly keys: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly updatedBy: string;
}

/** Who changes something, as the audit will say it. */
export interface Change {
  readonly organizationId: string;
  readonly name: string;
  readonly actor: string;
  readonly requestId: string | null;
}

/** Secrets of an organization that its agents refer to. Values go in; only gateway and broker get them out. */
export interface AgentSecrets {
  /** Replaces the whole secret: keys that are not named are gone. */
  put(tx: Transaction, change: Change, values: ReadonlyMap<string, string>): Promise<void>;
  /** Throws `not_found`. */
  remove(tx: Transaction, change: Change): Promise<void>;
  /** By name. */
  list(organizationId: string): Promise<readonly SecretMetadata[]>;
  /** The value in the clear, for gateway and broker alone; null where there is none. Throws `seal_broken`. */
  open(organizationId: string, ref: SecretRef): Promise<string | null>;
}

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

export function makeAgentSecrets(options: {
  readonly database: Database;
  readonly seal: Seal;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
}): AgentSecrets {
  const { database, seal, audit, clock } = options;

  const record = (tx: Transaction, change: Change, action: string, keys: readonly string[]): Promise<unknown> =>
    audit.append(tx, {
      actor: change.actor,
      action,
      target: { type: 'agent_secret', id: change.name },
      outcome: 'success',
      organizationId: change.organizationId,
      requestId: change.requestId,
      data: { keys: keys.join(' ') },
    });

  return {
    async put(tx, change, values) {
      const { organizationId, name, actor } = change;
      const now = clock.now();
      // One order for everybody, so that two who write the same secret never wait for each other.
      const keys = [...values.keys()].sort();
      for (const key of keys) {
        const sealed = seal.seal(values.get(key) ?? '', placeOf(organizationId, { name, key }));
        const changed = { sealed, updated_at: now, updated_by: actor };
        await tx
          .as<Tables>()
          .insertInto('agent_secret')
          .values({ organization_id: organizationId, name, key, created_at: now, ...changed })
          .onConflict((conflict) => conflict.columns(['organization_id', 'name', 'key']).doUpdateSet(changed))
          .execute();
      }
      await tx
        .as<Tables>()
        .deleteFrom('agent_secret')
        .where('organization_id', '=', organizationId)
        .where('name', '=', name)
        .where('key', 'not in', keys)
        .execute();
      await record(tx, change, 'agent_secret.written', keys);
    },

    async remove(tx, change) {
      const gone = await tx
        .as<Tables>()
        .deleteFrom('agent_secret')
        .where('organization_id', '=', change.organizationId)
        .where('name', '=', change.name)
        .returning('key')
        .execute();
      if (gone.length === 0) throw notFound(`Secret ${change.name}`);
      await record(tx, change, 'agent_secret.deleted', gone.map(({ key }) => key).sort());
    },

    async list(organizationId) {
      const rows = await database
        .as<Tables>()
        .selectFrom('agent_secret')
        .select(['name', 'key', 'created_at', 'updated_at', 'updated_by'])
        .where('organization_id', '=', organizationId)
        .orderBy('name')
        .orderBy('key')
        .execute();
      const secrets = new Map<string, SecretMetadata>();
      for (const row of rows) {
        const known = secrets.get(row.name);
        const isNewer = known === undefined || row.updated_at > known.updatedAt;
        secrets.set(row.name, {
          name: row.name,
          keys: [...(known?.keys ?? []), row.key],
          createdAt: known && known.createdAt < row.created_at ? known.createdAt : row.created_at,
          updatedAt: isNewer ? row.updated_at : known.updatedAt,
          updatedBy: isNewer ? row.updated_by : known.updatedBy,
        });
      }
      return [...secrets.values()];
    },

    async open(organizationId, ref) {
      const row = await database
        .as<Tables>()
        .selectFrom('agent_secret')
        .select('sealed')
        .where('organization_id', '=', organizationId)
        .where('name', '=', ref.name)
        .where('key', '=', ref.key)
        .executeTakeFirst();
      return row === undefined ? null : seal.open(row.sealed, placeOf(organizationId, ref)).toString('utf8');
    },
  };
}

/** What a value is sealed for: moved to another row, it does not open. */
const placeOf = (organizationId: string, { name, key }: SecretRef): string =>
  ['agent_secret', organizationId, name, key].map(encodeURIComponent).join('/');
