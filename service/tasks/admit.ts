import type { AttemptRef } from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import { inSpan } from '../platform/tracing.ts';
import { chooseNext, type Admitted } from './choose-next.ts';
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
  /** Says of new tasks why they wait; a reason that became another is written by the next look at all. */
  admitNow(): Promise<number>;
  /** The same, and writes anew on every task why it waits: what the interval does. */
  lookAtAll(): Promise<number>;
  start(intervalMs: number): void;
  stop(): Promise<void>;
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
  let tellAll = true;

  async function drain(): Promise<number> {
    let total = 0;
    do {
      const all = tellAll;
      [again, tellAll] = [false, false];
      const admitted = await database.transaction((tx) => admitBatch(tx, parts, all));
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

  function lookAtAll(): Promise<number> {
    tellAll = true;
    return admitNow();
  }

  return {
    admitNow,
    lookAtAll,
    start(intervalMs) {
      timer = setInterval(() => {
        lookAtAll().catch((error: Error) => log.error({ error }, 'admission failed'));
      }, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      await running?.catch(() => undefined);
    },
  };
}

/** One pass over every workspace that has a free place. */
async function admitBatch(tx: Transaction, parts: AdmitParts, tellAll: boolean): Promise<readonly AttemptRef[]> {
  const { clock } = parts;
  const now = clock.now();
  // Postgres guesses this statement to be long where many tasks wait, and would compile it for seconds each time.
  await tx.client.query(`select set_config('jit', 'off', true), pg_advisory_xact_lock($1)`, [admissionLock]);
  const { perWorkspace } = parts;
  const { rows } = await chooseNext({ perWorkspace, batchSize, now, tellAll }).execute(tx.as<unknown>());
  for (const admitted of rows) {
    const { id, attempt, agent, trace_parent: parent } = admitted;
    await inSpan('scheduler', { parent, attributes: { 'task.id': id, attempt, agent } }, () =>
      begin(tx, parts, admitted, now),
    );
  }
  return rows.map(({ id, attempt }) => ({ task_id: id, attempt }));
}

async function begin(tx: Transaction, parts: AdmitParts, admitted: Admitted, now: Date): Promise<void> {
  const { id, attempt } = admitted;
  await insertAttempt(tx, {
    taskId: id,
    number: attempt,
    workspaceId: admitted.workspace_id,
    agent: admitted.agent,
    model: admitted.model,
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
