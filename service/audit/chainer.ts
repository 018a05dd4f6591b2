import { sql } from 'kysely';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { AuditKeys } from '../platform/keys.ts';
import type { Logger } from '../platform/logger.ts';
import { readAnchor, writeAnchor } from './anchor.ts';
import { genesis, isSigned, linkHash, signCheckpoint, type Checkpoint } from './audit-chain.ts';
import { digestOf, epochText, isMacOf } from './audit-event.ts';
import { checkpointColumns, eventOf, storedFields, type AuditTables, type JoinedEvent } from './audit-tables.ts';
import { makeChainLock } from './chain-lock.ts';
import { makeSweep } from './sweep-forgotten.ts';

/** Links events into the chain and signs where it ends. */
export interface Chainer {
  /** Links at most one batch; gives the number of events linked. 0 when another replica is at it, or nothing waits. */
  chainOnce(): Promise<number>;
  /** Links what waits, every `intervalMs`. */
  start(intervalMs: number): void;
  /** Links what still waits, then ends. */
  stop(): Promise<void>;
}

export interface ChainerOptions {
  readonly database: Database;
  readonly keys: AuditKeys;
  readonly clock: Clock;
  readonly log: Logger;
  /** Events of one transaction and one checkpoint. Default 1000: about 50 ms of work. */
  readonly batch?: number;
  /** Where the newest checkpoint is remembered outside the database; none by default. */
  readonly anchorPath?: string;
}

interface Batch {
  readonly linked: number;
  readonly checkpoint: Checkpoint | undefined;
}
const nothing: Batch = { linked: 0, checkpoint: undefined };

interface Head {
  readonly sequence: number;
  readonly position: number;
  readonly hash: Buffer;
}

type Pending = JoinedEvent & { serial: number; event_id: string; chained: boolean };

/**
 * A chainer that links only what the service itself wrote and extends only a chain that is whole.
 *
 * Order    as events became visible: `audit_pending` is read, never a high-water mark, so a late commit is not skipped.
 *          What was taken off that list, or refused wrongly, is put back on it within 10 s.
 * Refuses  events whose HMAC is wrong or that vanished before they were linked (logged once each; they stay refused),
 *          and to extend a head that its checkpoint or the anchor contradicts: signing on would bless the damage.
 */
export function makeChainer(options: ChainerOptions): Chainer {
  const { database, keys, clock, log, anchorPath } = options;
  const batch = options.batch ?? 1000;
  const tryLock = makeChainLock(log);
  const sweep = makeSweep({ hmac: keys.hmac, clock, log });
  let complaint: string | undefined;
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();

  const chainOnce = async (): Promise<number> => {
    const anchor = anchorPath === undefined ? undefined : await readAnchor(anchorPath);
    let swept = (): void => undefined;
    const { linked, checkpoint } = await database.transaction(async (tx) => {
      if (!(await tryLock(tx))) return nothing;
      swept = await sweep(tx);
      return linkBatch(tx, anchor);
    });
    swept();
    if (anchorPath !== undefined && checkpoint !== undefined) await writeAnchor(anchorPath, checkpoint);
    return linked;
  };

  const linkBatch = async (tx: Transaction, anchor: Checkpoint | null | undefined): Promise<Batch> => {
    const pending = await readPending(tx, batch);
    if (pending.length === 0) return nothing;
    const head = await readHead(tx, keys, anchor);
    if (typeof head === 'string') {
      // Once per finding, not once per second.
      if (head !== complaint)
        log.error(
          { reason: head, anchorPath },
          'audit chain is damaged and is not extended; run outrigger audit verify; after a restore on purpose, remove the anchor file',
        );
      complaint = head;
      return nothing;
    }
    complaint = undefined;
    const now = clock.now();
    const seen = new Set<string>();
    const refused: number[] = [];
    const links: { position: number; event_id: string; hash: Buffer }[] = [];
    let hash = head.hash;
    for (const row of pending) {
      if (row.chained || seen.has(row.event_id)) continue;
      seen.add(row.event_id);
      const event = eventOf(row);
      if (event === null || !isMacOf(keys.hmac, event.fields, event.mac)) {
        refused.push(row.serial);
        log.error({ eventId: row.event_id }, event === null ? refusals.deleted : refusals.changed);
        continue;
      }
      const position = head.position + links.length + 1;
      hash = linkHash(hash, position, { id: row.event_id, digest: digestOf(event.fields), mac: event.mac });
      links.push({ position, event_id: row.event_id, hash });
    }
    await settlePending(tx, pending, refused, now);
    if (links.length === 0) return nothing;
    const checkpoint = signCheckpoint(keys, {
      sequence: head.sequence + 1,
      position: head.position + links.length,
      hash,
      at: epochText(now),
    });
    await writeLinks(tx, links, checkpoint, now);
    return { linked: links.length, checkpoint };
  };

  const chainAll = async (): Promise<void> => {
    while ((await chainOnce()) >= batch);
  };

  const pass = (): Promise<void> =>
    chainAll().catch((error: unknown) => {
      log.error({ err: error }, 'audit events could not be linked');
    });

  const schedule = (intervalMs: number): void => {
    timer = setTimeout(() => {
      running = pass().then(() => {
        if (!stopping) schedule(intervalMs);
      });
    }, intervalMs).unref();
  };

  return {
    chainOnce,
    start(intervalMs) {
      stopping = false;
      clearTimeout(timer);
      schedule(intervalMs);
    },
    async stop() {
      stopping = true;
      clearTimeout(timer);
      await running;
      await pass();
    },
  };
}

const refusals = {
  deleted: 'audit event was deleted before it was linked',
  changed: 'audit event was not written by this service or was changed; it is not linked',
} as const;

async function readPending(tx: Transaction, batch: number): Promise<Pending[]> {
  const { rows } = await sql<Pending>`
    select p.serial, p.event_id::text as event_id, c.event_id is not null as chained, ${storedFields}
    from (select serial, event_id from audit_pending where refused_at is null order by serial limit ${batch}) p
    left join audit_event e on e.id = p.event_id
    left join audit_chain c on c.event_id = p.event_id
    order by p.serial`.execute(tx.as<AuditTables>());
  return rows;
}

/** The end of the chain, or in words why it cannot be trusted. */
async function readHead(
  tx: Transaction,
  keys: AuditKeys,
  anchor: Checkpoint | null | undefined,
): Promise<Head | string> {
  const db = tx.as<AuditTables>();
  const last = await sql<Checkpoint>`
    select ${checkpointColumns} from audit_checkpoint order by sequence desc limit 1`.execute(db);
  const link = await db
    .selectFrom('audit_chain')
    .select(['position', 'hash'])
    .orderBy('position', 'desc')
    .limit(1)
    .executeTakeFirst();
  const checkpoint = last.rows[0];
  const anchorFault = anchor === undefined ? undefined : await compareAnchor(tx, keys, anchor);
  if (anchorFault !== undefined) return anchorFault;
  if (checkpoint === undefined)
    return link === undefined ? { sequence: 0, position: 0, hash: genesis } : 'the chain has links but no checkpoint';
  if (!isSigned(keys, checkpoint)) return 'the newest checkpoint was changed, or signed with another key';
  if (link?.position !== checkpoint.position || !link.hash.equals(checkpoint.hash))
    return 'the chain does not end where its newest checkpoint says';
  return checkpoint;
}

async function compareAnchor(tx: Transaction, keys: AuditKeys, anchor: Checkpoint | null): Promise<string | undefined> {
  if (anchor === null || !isSigned(keys, anchor))
    return 'the anchor file was changed, or written with another signing key';
  const { rows } = await sql<Checkpoint>`
    select ${checkpointColumns} from audit_checkpoint where sequence = ${anchor.sequence}`.execute(
    tx.as<AuditTables>(),
  );
  const stored = rows[0];
  if (stored === undefined) return 'the database is older than the anchor file, or its newest checkpoints were deleted';
  return stored.signature.equals(anchor.signature)
    ? undefined
    : 'the database holds another chain than the anchor file';
}

/** What was linked leaves the list; what was refused stays on it, marked: it may be the only trace of a deletion. */
async function settlePending(
  tx: Transaction,
  pending: readonly Pending[],
  refused: readonly number[],
  now: Date,
): Promise<void> {
  const db = tx.as<AuditTables>();
  const isRefused = new Set(refused);
  const done = pending.map((row) => row.serial).filter((serial) => !isRefused.has(serial));
  if (refused.length > 0)
    await sql`update audit_pending set refused_at = ${now} where serial = any(${refused})`.execute(db);
  if (done.length > 0) await sql`delete from audit_pending where serial = any(${done})`.execute(db);
}

async function writeLinks(
  tx: Transaction,
  links: readonly { position: number; event_id: string; hash: Buffer }[],
  checkpoint: Checkpoint,
  at: Date,
): Promise<void> {
  const db = tx.as<AuditTables>();
  await sql`
    insert into audit_chain (position, event_id, hash)
    select * from unnest(
      ${links.map((link) => link.position)}::bigint[],
      ${links.map((link) => link.event_id)}::uuid[],
      ${links.map((link) => link.hash)}::bytea[])`.execute(db);
  const { keyId, ...rest } = checkpoint;
  await db
    .insertInto('audit_checkpoint')
    .values({ ...rest, key_id: keyId, at: at.toISOString() })
    .execute();
}
