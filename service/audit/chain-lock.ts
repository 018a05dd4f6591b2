import { sql } from 'kysely';
import type { Transaction } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';

/** Of `pg_try_advisory_xact_lock`; one chainer at a time over all replicas. Below 2^48, so both halves are positive. */
const lockId = 0x6f75_7472_4155;
const [lockHigh, lockLow] = [Math.floor(lockId / 2 ** 32), lockId % 2 ** 32];

/** Half a minute of passes. A replica holds the lock for one batch, so so many misses in a row are no chance. */
const missesUntilSaid = 30;

/**
 * Takes the chainer's lock until the transaction ends; false when another session holds it.
 *
 * Says once, as an error with the backends that hold it, when it was missed 30 times in a row: whoever holds the lock
 * keeps every event out of the chain.
 */
export function makeChainLock(log: Logger): (tx: Transaction) => Promise<boolean> {
  let misses = 0;
  return async (tx) => {
    const db = tx.as<unknown>();
    const { rows } = await sql<{ locked: boolean }>`select pg_try_advisory_xact_lock(${lockId}) as locked`.execute(db);
    if (rows[0]?.locked === true) {
      misses = 0;
      return true;
    }
    misses += 1;
    if (misses === missesUntilSaid) {
      const holders = await sql<{ pid: number }>`
        select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1
          and classid = ${lockHigh}::bigint::oid and objid = ${lockLow}::bigint::oid
          and database = (select oid from pg_database where datname = current_database())`.execute(db);
      log.error(
        { misses, backends: holders.rows.map((row) => row.pid) },
        'audit events are not linked: another session has held the chain lock for too long; find it in pg_stat_activity and end it unless it is a replica at work',
      );
    }
    return false;
  };
}
