import { sql } from 'kysely';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import { isMacOf } from './audit-event.ts';
import { eventOf, storedFields, type JoinedEvent } from './audit-tables.ts';

const sweepEveryMs = 10_000;
/** How far back of the last sweep the next one looks: longer than any transaction that writes an event stays open. */
const overlapMs = 10 * 60_000;
const rowsPerFetch = 1000;
/** Ids named in one log line; the rest are counted. */
const idsNamed = 20;

/**
 * Puts back on the list of work what was kept off it, when a sweep is due.
 *
 * The answer is to be called after the commit: what was rolled back is swept again.
 */
export type Sweep = (tx: Transaction) => Promise<() => void>;

/**
 * Finds events that nobody would link: neither linked nor waiting, or marked as refused although they are authentic.
 *
 * Shape    everything at the first run, as after a restore that left `audit_pending` out; then every 10 s the events
 *          since ten minutes before the last sweep. Their ids begin with their time, so the primary key finds them.
 * Reason   the list of work is a table like any other: whoever takes an event off it could delete it unseen later.
 */
export function makeSweep({
  hmac,
  clock,
  log,
}: {
  readonly hmac: Buffer;
  readonly clock: Clock;
  readonly log: Logger;
}): Sweep {
  let lastMs: number | undefined;
  return async (tx) => {
    const nowMs = clock.now().getTime();
    // Absolute: a clock that was put back must not end the sweeps.
    if (lastMs !== undefined && Math.abs(nowMs - lastMs) < sweepEveryMs) return () => undefined;
    const since = lastMs === undefined ? firstId(0) : firstId(Math.min(lastMs, nowMs) - overlapMs);
    const forgotten = await addForgotten(tx, since);
    if (forgotten.length > 0)
      log.error(
        { count: forgotten.length, eventIds: forgotten.slice(0, idsNamed) },
        'audit events were neither linked nor waiting; they are linked now; unless a restore left them out, somebody took them off the list',
      );
    const refused = await readmitAuthentic(tx, hmac, since);
    if (refused.length > 0)
      log.error(
        { count: refused.length, eventIds: refused.slice(0, idsNamed) },
        'audit events were marked as refused although the service wrote them; they are linked now; find out who could write to the database',
      );
    return () => void (lastMs = nowMs);
  };
}

/** The smallest id of an event written at that time (UUIDv7). */
function firstId(milliseconds: number): string {
  const time = Math.max(0, Math.floor(milliseconds)).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}

async function addForgotten(tx: Transaction, since: string): Promise<string[]> {
  const { rows } = await sql<{ event_id: string }>`
    insert into audit_pending (event_id)
    select e.id from audit_event e
    where e.id >= ${since}::uuid
      and not exists (select 1 from audit_chain c where c.event_id = e.id)
      and not exists (select 1 from audit_pending p where p.event_id = e.id)
    order by e.id
    returning event_id::text as event_id`.execute(tx.as<unknown>());
  return rows.map((row) => row.event_id);
}

/** Rightly refused events stay as they are, so that each is reported once. */
async function readmitAuthentic(tx: Transaction, hmac: Buffer, since: string): Promise<string[]> {
  const db = tx.as<unknown>();
  const readmitted: string[] = [];
  for (let after = since; ;) {
    const { rows } = await sql<JoinedEvent>`
      select ${storedFields} from audit_event e
      where e.id > ${after}::uuid
        and exists (select 1 from audit_pending p where p.event_id = e.id and p.refused_at is not null)
        and not exists (select 1 from audit_chain c where c.event_id = e.id)
      order by e.id limit ${rowsPerFetch}`.execute(db);
    const authentic = rows.flatMap((row) => {
      const event = eventOf(row);
      return event !== null && isMacOf(hmac, event.fields, event.mac) ? [event.fields.id] : [];
    });
    if (authentic.length > 0)
      await sql`
        update audit_pending set refused_at = null
        where refused_at is not null and event_id = any(${authentic}::uuid[])`.execute(db);
    readmitted.push(...authentic);
    const last = rows.at(-1)?.stored_id;
    if (rows.length < rowsPerFetch || last == null) return readmitted;
    after = last;
  }
}
