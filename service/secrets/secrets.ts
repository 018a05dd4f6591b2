import type { AuditLog } from '../audit/audit-log.ts';
import { systemRandomness, type Clock, type Randomness } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import type { Seal } from '../platform/seal.ts';
import { dropEarlier, earlierSecrets, holdEarlier } from './earlier-secrets.ts';
import { describeSecrets, type SecretMetadata } from './secret-metadata.ts';
import { organizationPlace, scopeOf, secretPath, type SecretPlace, type SecretRef } from './secret-place.ts';
import { makeSecretStore, type SecretTables } from './secret-store.ts';
import { makeFirstUses } from './first-uses.ts';

/** Who changes a secret, as the audit will say it. */
export interface SecretChange {
  readonly place: SecretPlace;
  readonly name: string;
  readonly actor: string;
  readonly requestId: string | null;
}

/** For what a value is taken out of the store, as the audit will say it. */
export interface SecretUse {
  /** `gateway` to a model provider · `broker` to a git host · `agent` to what an agent of the service works with. */
  readonly towards: 'gateway' | 'broker' | 'agent';
  /** Whose work it is; left out where the service works for nobody's task. */
  readonly task?: {
    readonly taskId: string;
    readonly attempt: number;
    readonly workspaceId: string;
    readonly ownerId: string;
  };
}

export interface Rotation {
  /** Places that have a new data key. */
  readonly places: number;
  /** Values that were sealed anew. */
  readonly values: number;
}

/** The one store of named secrets. Values go in; only gateway, broker and agents of the service get them out. */
export interface Secrets {
  /** Replaces the whole secret: keys that are not named are gone. */
  put(
    tx: Transaction,
    change: SecretChange,
    values: ReadonlyMap<string, string>,
    rotateAfter?: Date | null,
  ): Promise<void>;
  /** Throws `not_found`. */
  remove(tx: Transaction, change: SecretChange): Promise<void>;
  /** By name, never a value. */
  list(place: SecretPlace): Promise<readonly SecretMetadata[]>;
  /**
   * The value in the clear from the first place that has it; null where none has.
   *
   * Audit   the first use by an attempt, in this process; uses for no task each.
   * Errors  `seal_broken`, `seal_key_missing`: audited too, and no other place is tried instead.
   */
  open(places: readonly SecretPlace[], ref: SecretRef, use: SecretUse): Promise<string | null>;
  /** New data keys for every place of an organization, or of one owner in it; all values sealed anew. */
  rotate(
    of: { readonly organizationId: string; readonly ownerId?: string },
    by: Pick<SecretChange, 'actor' | 'requestId'>,
  ): Promise<Rotation>;
  /** How many secrets are past their `rotate_after`, by organization. */
  overdue(): Promise<ReadonlyMap<string, number>>;
}

export function makeSecrets(options: {
  readonly database: Database;
  readonly seal: Seal;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly randomness?: Randomness;
}): Secrets {
  const { database, seal, audit, clock } = options;
  const store = makeSecretStore({ seal, randomness: options.randomness ?? systemRandomness });
  const firstUses = makeFirstUses();

  const record = (
    tx: Transaction,
    change: SecretChange,
    action: string,
    data: Record<string, string | null>,
  ): Promise<unknown> =>
    audit.append(tx, {
      actor: change.actor,
      action,
      target: { type: 'agent_secret', id: change.name },
      outcome: 'success',
      ...ownersOf(change.place),
      requestId: change.requestId,
      data: { scope: scopeOf(change.place), ...data },
    });

  async function read(place: SecretPlace, ref: SecretRef): Promise<string | null> {
    const stored = await store.read(database, place, ref.name, ref.key);
    if (scopeOf(place) !== 'organization') return stored?.value ?? null;
    const earlier = (await earlierSecrets(database, place.organizationId, ref.name)).find(({ key }) => key === ref.key);
    if (!earlier || (stored && stored.updatedAt >= earlier.updatedAt)) return stored?.value ?? null;
    return seal.open(earlier.sealed, earlier.context).toString('utf8');
  }

  async function recordUse(place: SecretPlace, ref: SecretRef, use: SecretUse, failure?: unknown): Promise<void> {
    const { task, towards } = use;
    const path = `${secretPath(place, ref.name)}/${ref.key}`;
    const uses = task && `${task.taskId} ${task.attempt} ${towards} ${failure === undefined} ${path}`;
    if (uses !== undefined && !firstUses.isFirst(uses)) return;
    const reason = failure instanceof ServiceError ? failure.code : 'broken';
    await database.transaction((tx) =>
      audit.append(tx, {
        actor: task ? `bridge:${task.workspaceId}` : 'service',
        action: 'agent_secret.used',
        target: { type: 'agent_secret', id: ref.name },
        outcome: failure === undefined ? 'success' : 'failure',
        ...ownersOf(place),
        ...(task ? { ownerId: task.ownerId, workspaceId: task.workspaceId } : {}),
        data: {
          scope: scopeOf(place),
          key: ref.key,
          towards,
          ...(task ? { task_id: task.taskId, attempt: task.attempt } : {}),
          ...(failure === undefined ? {} : { reason }),
        },
      }),
    );
    if (uses !== undefined) firstUses.note(uses);
  }

  return {
    async put(tx, change, values, rotateAfter = null) {
      const { place, name, actor } = change;
      const now = clock.now();
      // One order for everybody, so that two who write the same secret never wait for each other.
      const keys = [...values.keys()].sort();
      const held = await store.hold(tx, place, now);
      if ((await store.countOthers(tx, place, name)) >= mostSecrets) throw tooManySecrets();
      // Rows of before come first everywhere, so that nobody who changes both waits for another who does.
      if (scopeOf(place) === 'organization') await dropEarlier(tx, place.organizationId, name);
      for (const key of keys) {
        const sealed = held.seal(name, key, values.get(key) ?? '');
        await store.write(tx, place, { name, key, sealed, rotateAfter, by: actor, now });
      }
      await store.drop(tx, place, name, keys);
      const until = rotateAfter?.toISOString() ?? null;
      await record(tx, change, 'agent_secret.written', { keys: keys.join(' '), rotate_after: until });
    },

    async remove(tx, change) {
      const { place, name } = change;
      const isOfAll = scopeOf(place) === 'organization';
      const gone = new Set(isOfAll ? await dropEarlier(tx, place.organizationId, name) : []);
      for (const key of await store.drop(tx, place, name, [])) gone.add(key);
      if (gone.size === 0) throw notFound(`Secret ${name}`);
      await record(tx, change, 'agent_secret.deleted', { keys: [...gone].sort().join(' ') });
    },

    async list(place) {
      const rows = await store.rows(database, place);
      const isOfAll = scopeOf(place) === 'organization';
      const earlier = isOfAll ? await earlierSecrets(database, place.organizationId) : [];
      return describeSecrets(rows, earlier, clock.now());
    },

    async open(places, ref, use) {
      for (const place of places) {
        const value = await read(place, ref).catch(async (error: unknown) => {
          await recordUse(place, ref, use, error);
          throw error;
        });
        if (value === null) continue;
        await recordUse(place, ref, use);
        return value;
      }
      return null;
    },

    async rotate(of, { actor, requestId }) {
      const { organizationId, ownerId } = of;
      const isOfAll = ownerId === undefined;
      if (isOfAll) await adoptEarlier(organizationId);
      const places = await store.places(database, of);
      let values = 0;
      for (const place of places) values += await database.transaction((tx) => store.rotate(tx, place, clock.now()));
      await database.transaction((tx) =>
        audit.append(tx, {
          actor,
          action: 'agent_secret.rotated',
          target: { type: 'agent_secret', id: '*' },
          outcome: 'success',
          organizationId,
          ownerId: ownerId ?? null,
          requestId,
          data: { scope: isOfAll ? 'organization' : 'owner', places: places.length, values },
        }),
      );
      return { places: places.length, values };
    },

    async overdue() {
      const rows = await database
        .as<SecretTables>()
        .selectFrom('secret')
        .select((select) => ['organization_id', select.fn.count<number>('name').distinct().as('count')])
        .where('rotate_after', '<=', clock.now())
        .groupBy(['organization_id', 'owner_id', 'workspace_id'])
        .execute();
      const counts = new Map<string, number>();
      for (const row of rows) counts.set(row.organization_id, (counts.get(row.organization_id) ?? 0) + row.count);
      return counts;
    },
  };

  /** Moves what an earlier version wrote into the envelope, one transaction for each secret. */
  async function adoptEarlier(organizationId: string): Promise<void> {
    const place = organizationPlace(organizationId);
    for (const name of new Set((await earlierSecrets(database, organizationId)).map((one) => one.name)))
      await database.transaction(async (tx) => {
        const held = await store.hold(tx, place, clock.now());
        for (const one of await holdEarlier(tx, organizationId, name)) {
          const newer = await store.read(tx, place, name, one.key);
          if (newer && newer.updatedAt >= one.updatedAt) continue;
          const sealed = held.seal(name, one.key, seal.open(one.sealed, one.context));
          const { updatedBy: by, updatedAt: now } = one;
          await store.write(tx, place, { name, key: one.key, sealed, rotateAfter: null, by, now });
        }
        await dropEarlier(tx, organizationId, name);
      });
  }
}

/** Of one place; they are listed and shown without pages. */
const mostSecrets = 500;

const tooManySecrets = (): ServiceError =>
  new ServiceError(
    'conflict',
    'secrets_too_many',
    `There are ${mostSecrets} secrets in this place, which is all it holds. Delete one that nothing refers to, or put more keys into one.`,
  );

const ownersOf = ({ organizationId, ownerId, workspaceId }: SecretPlace) => ({ organizationId, ownerId, workspaceId });
