import { sql } from 'kysely';
import type { Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';

/** A place is likely to be free again by then: admission looks every second. */
const retryAfterSeconds = 30;

export interface Wanted {
  readonly ownerId: string;
  /** How many tasks begin to wait at once. */
  readonly tasks: number;
}

/** One owner leaves at least half of the queue to all others. */
const shareOf = (queueMax: number): number => Math.max(Math.floor(queueMax / 2), 1);

/**
 * Throws where as many tasks wait as may: `unavailable`, or `rate_limited` where it is the owner's own that do. Both
 * have `Retry-After`.
 *
 * Asked before anything is stored, so what was accepted is never dropped: steps of a workflow that runs already
 * always find a place, and one that begins with more steps than an owner may have is taken when none of the owner's
 * waits. Two at once may both take the last place.
 */
export async function mustHaveRoom(tx: Transaction, queueMax: number, { ownerId, tasks }: Wanted): Promise<void> {
  const share = shareOf(queueMax);
  const wanted = Math.min(tasks, share);
  // Counts no further than the queue may grow: where that cuts off some of the owner's, it is full in any case.
  const { rows } = await sql<{ waiting: number; own: number }>`
    select count(*) as waiting, count(*) filter (where owner_id = ${ownerId}) as own
      from (select owner_id from task where state = 'queued' limit ${queueMax}) as queued`.execute(tx.as<unknown>());
  const { waiting = 0, own = 0 } = rows[0] ?? {};
  if (waiting + wanted > queueMax) throw queueFull(queueMax);
  if (own + wanted > share) throw shareFull(share);
}

const queueFull = (queueMax: number): ServiceError =>
  new ServiceError(
    'unavailable',
    'queue_full',
    `No more than ${queueMax} tasks may wait, and there is no room for this. Nothing was stored; send it again in ${retryAfterSeconds} s.`,
    { retryAfterSeconds },
  );

const shareFull = (share: number): ServiceError =>
  new ServiceError(
    'rate_limited',
    'queue_share_full',
    `No more than ${share} of your tasks may wait at once. Nothing was stored; send this again in ${retryAfterSeconds} s, or stop some that wait.`,
    { retryAfterSeconds },
  );
