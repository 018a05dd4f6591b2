import pg from 'pg';
import { setRepeating } from './engine-lock.ts';
import type { Logger } from './logger.ts';

/** Returns the running work of these executors to the queue; answers how many there were. */
export type Recover = (executorIds: readonly string[]) => Promise<number>;

export interface Replicas {
  /** Takes over from dead and unlisted processes once, then beats. */
  start(): Promise<void>;
  /** Leaves the list, so that others take over what waits here at their next beat. */
  stop(): Promise<void>;
}

/**
 * Puts this process on the list of replicas. Call before taking work: whoever takes work without being on the list
 * loses it to the others. After `start` it beats every `heartbeatMs`, and at each beat takes over the work of
 * processes that have not beaten for `deadAfterMs` or are not on the list at all.
 */
export async function joinReplicas(options: {
  url: string;
  executorId: string;
  heartbeatMs: number;
  deadAfterMs: number;
  recover: Recover;
  log: Logger;
}): Promise<Replicas> {
  const { url, executorId, heartbeatMs, deadAfterMs, recover, log } = options;
  // Of its own: a busy application pool would hold the heartbeat back until others take us for dead.
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', (error) => log.debug({ err: error }, 'idle heartbeat connection lost'));
  const announce = () =>
    pool.query('insert into outrigger.replica (id) values ($1) on conflict (id) do update set seen_at = now()', [
      executorId,
    ]);
  const takeOver = async () => {
    await takeOverDead(pool, deadAfterMs, recover, log);
    await takeOverUnlisted(pool, executorId, recover, log);
  };
  const beat = async () => {
    await announce();
    await takeOver();
  };
  let timer: { stop(): Promise<void> } | undefined;

  await announce().catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  return {
    start: async () => {
      await takeOver();
      timer = setRepeating(beat, heartbeatMs, (error) => log.warn({ err: error }, 'replica heartbeat failed'));
    },
    stop: async () => {
      await timer?.stop();
      try {
        await pool.query('delete from outrigger.replica where id = $1', [executorId]);
      } finally {
        await pool.end();
      }
    },
  };
}

/** Alone on the data: whatever another process left is ours. The caller holds the lock that makes this true. */
export async function takeOverAll(pool: pg.Pool, executorId: string, recover: Recover, log: Logger): Promise<void> {
  await pool.query('delete from outrigger.replica');
  await takeOverUnlisted(pool, executorId, recover, log);
}

/** The delete has one winner, and commits only after the recovery: a failed takeover is tried again. */
async function takeOverDead(pool: pg.Pool, deadAfterMs: number, recover: Recover, log: Logger): Promise<void> {
  const connection = await pool.connect();
  let broken: Error | undefined;
  try {
    await connection.query('begin');
    const { rows } = await connection.query<{ id: string }>(
      `delete from outrigger.replica where id in
         (select id from outrigger.replica where seen_at < now() - $1 * interval '1 millisecond' for update skip locked)
       returning id`,
      [deadAfterMs],
    );
    if (rows.length > 0) {
      const executorIds = rows.map((row) => row.id);
      log.warn({ executorIds, recovered: await recover(executorIds) }, 'took over from dead replicas');
    }
    await connection.query('commit');
  } catch (error) {
    await connection.query('rollback').catch((rollbackError: Error) => (broken = rollbackError));
    throw error;
  } finally {
    connection.release(broken);
  }
}

/** What is left of processes that stopped in good order, or ran alone on this data before. */
async function takeOverUnlisted(pool: pg.Pool, ownId: string, recover: Recover, log: Logger): Promise<void> {
  const { rows } = await pool.query<{ id: string }>(
    `select distinct executor_id as id from dbos.workflow_status
     where status = 'PENDING' and executor_id <> $1 and executor_id not in (select id from outrigger.replica)`,
    [ownId],
  );
  if (rows.length === 0) return;
  const executorIds = rows.map((row) => row.id);
  log.info({ executorIds, recovered: await recover(executorIds) }, 'took over what stopped processes left');
}
