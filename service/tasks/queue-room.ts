import { sql } from 'kysely';
import type { Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';

/** A place is likely to be free again by then: admission looks every second. */
const retryAfterSeconds = 30;

/**
 * Throws `unavailable` with `Retry-After` where as many tasks wait as may.
 *
 * Asked before anything is stored, so what was accepted is never dropped: steps of a workflow that runs already
 * always find a place. Two at once may both take the last one.
 */
export async function mustHaveRoom(tx: Transaction, queueMax: number): Promise<void> {
  const { rows } = await sql<{ waiting: number }>`
    select count(*) as waiting
      from (select 1 from task where state = 'queued' limit ${queueMax}) as queued`.execute(tx.as<unknown>());
  if ((rows[0]?.waiting ?? 0) >= queueMax) throw queueFull(queueMax);
}

const queueFull = (queueMax: number): ServiceError =>
  new ServiceError(
    'unavailable',
    'queue_full',
    `${queueMax} tasks wait already, which is as many as may. Nothing was stored; send this again in ${retryAfterSeconds} s.`,
    { retryAfterSeconds },
  );
