import { sql } from 'kysely';
import type { AttemptRef } from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import { appendEvent } from './task-events.ts';
import { insertAttempt } from './task-store.ts';
import { attemptWorkflow, attemptWorkflowId } from './task.ts';

export interface AdmitParts {
  readonly database: Database;
  readonly engine: Pick<Engine, 'enqueue'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Attempts that may hold a place in one workspace at once, 1–4. */
  readonly perWorkspace: number;
  /** How long an attempt waits for its workspace and its bridge. */
  readonly prepareMs: number;
  /** Told after commit of the first few that were admitted: a hint that saves the engine's polling interval. */
  readonly onAdmitted: (ref: AttemptRef) => void;
}

/** Admits what may start. Runs on submit, on settle and every second; doing it too often is harmless. */
export interface Admission {
  admitNow(): Promise<number>;
  start(intervalMs: number): void;
  stop(): Promise<void>;
}

interface Admitted {
  readonly id: string;
  readonly attempt: number;
  readonly workspace_id: string;
  readonly priority: number;
}

/** Most workspaces served in one statement. */
const batchSize = 500;
/** More than this at once are better spread by the engine. */
const hintsPerBatch = 16;
/** Serializes admissions, so that two replicas never fill the same place. Number chosen by us. */
const admissionLock = 7_676_001;

export function makeAdmission(parts: AdmitParts): Admission {
  const { database, log } = parts;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<number> | undefined;
  let again = false;

  async function drain(): Promise<number> {
    let total = 0;
    do {
      again = false;
      const admitted = await database.transaction((tx) => admitBatch(tx, parts));
      for (const ref of admitted.slice(0, hintsPerBatch)) parts.onAdmitted(ref);
      total += admitted.length;
      if (admitted.length >= batchSize) again = true;
    } while (again);
    return total;
  }

  function admitNow(): Promise<number> {
    if (running) {
      again = true;
      return running;
    }
    running = drain().finally(() => (running = undefined));
    return running;
  }

  return {
    admitNow,
    start(intervalMs) {
      timer = setInterval(() => {
        admitNow().catch((error: Error) => log.error({ error }, 'admission failed'));
      }, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      await running?.catch(() => undefined);
    },
  };
}

/**
 * One pass over every workspace that has a free place: starts its first tasks by priority, aged by one point a
 * minute, and writes on all others why they wait. A full workspace keeps nobody else waiting.
 */
async function admitBatch(tx: Transaction, parts: AdmitParts): Promise<readonly AttemptRef[]> {
  const { clock } = parts;
  const now = clock.now();
  await tx.client.query('select pg_advisory_xact_lock($1)', [admissionLock]);
  const { rows } = await sql<Admitted>`
    with open_place as (
      select waiting.workspace_id, ${parts.perWorkspace} - coalesce(busy.places, 0) as free
        from (select distinct workspace_id from task where state = 'queued' and run_at <= ${now}) as waiting
        left join (
          select workspace_id, count(*) as places
            from task
           where state in ('starting', 'running', 'waiting', 'stopping')
           group by workspace_id
        ) as busy using (workspace_id)
       where coalesce(busy.places, 0) < ${parts.perWorkspace}
       limit ${batchSize}
    ), chosen as (
      select next.id
        from open_place
       cross join lateral (
          select id
            from task
           where workspace_id = open_place.workspace_id and state = 'queued' and run_at <= ${now}
           order by priority + extract(epoch from ${now}::timestamptz - submitted_at) / 60 desc, submitted_at, id
           limit open_place.free
             for update skip locked
        ) as next
    ), held as (
      update task set reason = 'AgentAtCapacity'
       where state = 'queued' and run_at <= ${now} and reason is distinct from 'AgentAtCapacity'
         and id not in (select id from chosen)
    )
    update task set state = 'starting', attempt = attempt + 1, reason = null
     where id in (select id from chosen)
    returning id, attempt, workspace_id, priority`.execute(tx.as<unknown>());
  for (const admitted of rows) await begin(tx, parts, admitted, now);
  return rows.map(({ id, attempt }) => ({ task_id: id, attempt }));
}

async function begin(tx: Transaction, parts: AdmitParts, admitted: Admitted, now: Date): Promise<void> {
  const { id, attempt } = admitted;
  await insertAttempt(tx, {
    taskId: id,
    number: attempt,
    workspaceId: admitted.workspace_id,
    prepareUntil: new Date(now.getTime() + parts.prepareMs),
    now,
  });
  await appendEvent(tx, { taskId: id, attempt, type: 'task.starting', at: now });
  await parts.engine.enqueue(tx, {
    workflow: attemptWorkflow,
    id: attemptWorkflowId(id, attempt),
    input: { task_id: id, attempt },
  });
}
