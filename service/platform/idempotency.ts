import { createHash } from 'node:crypto';
import { sql, type Migration } from 'kysely';
import type { Clock } from './clock.ts';
import type { Transaction } from './database.ts';
import { ServiceError } from './errors.ts';

/** What was answered the first time. */
export interface StoredAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface IdempotencyRequest {
  readonly actor: string;
  readonly route: string;
  /** The caller's `Idempotency-Key`; undefined runs `work` every time. */
  readonly key: string | undefined;
  readonly body: unknown;
}

export const keepKeysMs = 24 * 60 * 60 * 1000;

interface Tables {
  idempotency_key: {
    actor: string;
    route: string;
    key: string;
    body_hash: string;
    answer: unknown;
    created_at: Date;
  };
}

/**
 * Runs `work` once per actor, route and key within 24 hours; the same request again gets the first answer.
 *
 * Errors  `conflict` when the key was used with another body.
 * Safety  two at once: the second waits on the first's row, then reads its answer.
 */
export async function once(
  tx: Transaction,
  clock: Clock,
  request: IdempotencyRequest,
  work: () => Promise<StoredAnswer>,
): Promise<StoredAnswer> {
  const { actor, route, key } = request;
  if (key === undefined) return work();
  checkKey(key);
  const bodyHash = hashOf(request.body);
  const table = tx.as<Tables>();
  const inserted = await table
    .insertInto('idempotency_key')
    .values({ actor, route, key, body_hash: bodyHash, answer: null, created_at: clock.now() })
    .onConflict((conflict) => conflict.columns(['actor', 'route', 'key']).doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows === 0n) {
    const row = await findKey(tx, { actor, route, key });
    if (row?.body_hash !== bodyHash) throw keyReused();
    return row.answer as StoredAnswer;
  }
  const answer = await work();
  await table
    .updateTable('idempotency_key')
    .set({ answer: JSON.stringify(answer) })
    .where((where) => where.and({ actor, route, key }))
    .execute();
  return answer;
}

/**
 * The first answer to the same request, or null. To be asked before a request is checked: what was accepted once is
 * answered again even if it would be refused by now.
 *
 * Errors  `conflict` when the key was used with another body.
 */
export async function replay(
  database: Pick<Transaction, 'as'>,
  request: IdempotencyRequest,
): Promise<StoredAnswer | null> {
  const { actor, route, key } = request;
  if (key === undefined) return null;
  checkKey(key);
  const row = await findKey(database, { actor, route, key });
  if (!row) return null;
  if (row.body_hash !== hashOf(request.body)) throw keyReused();
  return row.answer as StoredAnswer | null;
}

/** Of a request without a body there is nothing to write as JSON. */
const hashOf = (body: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('hex');

const findKey = (database: Pick<Transaction, 'as'>, id: { actor: string; route: string; key: string }) =>
  database
    .as<Tables>()
    .selectFrom('idempotency_key')
    .select(['body_hash', 'answer'])
    .where((where) => where.and(id))
    .executeTakeFirst();

function checkKey(key: string): void {
  if (key.length === 0 || key.length > 255)
    throw new ServiceError('invalid', 'idempotency_key_invalid', 'Idempotency-Key must have 1 to 255 characters.');
}

const keyReused = (): ServiceError =>
  new ServiceError(
    'conflict',
    'idempotency_key_reused',
    'This Idempotency-Key was used with another body. Use a new key for a new request.',
  );

/** Forgets keys older than 24 hours. */
export async function forgetOldKeys(tx: Transaction, clock: Clock): Promise<void> {
  await tx
    .as<Tables>()
    .deleteFrom('idempotency_key')
    .where('created_at', '<', new Date(clock.now().getTime() - keepKeysMs))
    .execute();
}

export const idempotencyMigrations: Record<string, Migration> = {
  '2026-11-21-005-idempotency': {
    async up(db) {
      await sql`
        create table outrigger.idempotency_key (
          actor text not null, route text not null, key text not null,
          body_hash text not null, answer jsonb, created_at timestamptz not null,
          primary key (actor, route, key)
        )`.execute(db);
      await sql`create index on outrigger.idempotency_key (created_at)`.execute(db);
    },
  },
};
