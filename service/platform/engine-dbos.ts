import { setTimeout as sleep } from 'node:timers/promises';
import { DBOS, DBOSClient, Error as dbosErrors, type DLogger } from '@dbos-inc/dbos-sdk';
// Exported for tools, not promised: the version is pinned and engine.test.ts holds us to what it does.
import { DBOSExecutor } from '@dbos-inc/dbos-sdk/internal/dbos-executor';
import { GlobalLogger } from '@dbos-inc/dbos-sdk/internal/telemetry/logs';
import { migrateSystemDatabase } from '@dbos-inc/dbos-sdk/internal/system_database';
import type { Transaction } from './database.ts';
import type { DurableContext, Engine, EngineOptions, EngineStatus, EnqueueRequest } from './engine.ts';
import { isMissingDestination, makeRun, type Lifecycle } from './engine-context.ts';
import { holdDataLock, setRepeating, withMigrationLock } from './engine-lock.ts';
import { recoverOn, resumeStranded } from './engine-recovery.ts';
import { joinReplicas, takeOverAll } from './engine-replicas.ts';
import { ServiceError } from './errors.ts';
import { silentLogger, type Logger } from './logger.ts';

/** By hand: DBOS' own version is a hash of the source, and after a deploy queued work would wait for ever.
 *  Raise it only when running work cannot be replayed by this code. */
const applicationVersion = 'engine-1';
const applicationName = 'outrigger';
const queueName = 'outrigger-work';

/** Ours alone, so that holding connections of the application pool never starves the engine. */
const enginePoolSize = 10;

/** Server settings go with the connection: DBOS' own way is a second query on a busy client, which pg warns about. */
function engineUrl(url: string): string {
  const parsed = new URL(url);
  const options = [parsed.searchParams.get('options'), '-c idle_in_transaction_session_timeout=60000'];
  parsed.searchParams.set('options', options.filter(Boolean).join(' '));
  return parsed.toString();
}

/** Creates or upgrades the engine's own tables (schema `dbos`); safe when several processes start at once. */
export async function migrateEngine(url: string, log: Logger = silentLogger): Promise<void> {
  const logger = new GlobalLogger(undefined, { logger: quiet(log) });
  await withMigrationLock(url, () => migrateSystemDatabase(engineUrl(url), logger, 'dbos'));
}

const states: Readonly<Record<string, EngineStatus>> = {
  ENQUEUED: 'queued',
  DELAYED: 'delayed',
  PENDING: 'running',
  SUCCESS: 'succeeded',
  ERROR: 'failed',
  CANCELLED: 'canceled',
  MAX_RECOVERY_ATTEMPTS_EXCEEDED: 'gave_up',
};

/** The engine over DBOS Transact. */
export function createEngine(options: EngineOptions): Engine {
  const { database, log, executorId } = options;
  const workflows = new Map<string, DurableFunction>();
  const schedules = new Map<string, Schedule>();
  const life: Lifecycle = { stopping: false, openSteps: 0 };
  let guard: { stop(): Promise<void> } | undefined;
  let sweep: { stop(): Promise<void> } | undefined;
  let launched = false;
  let starting: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  // Borrows connections of the application's pool and keeps none.
  const client = DBOSClient.create({
    systemDatabaseUrl: database.url,
    systemDatabasePool: database.pool,
    applicationName,
    logger: quiet(log),
  });

  const mustBeNew = () => {
    if (guard || stopped)
      throw new Error('The engine has started: durable functions and schedules are named before, and it starts once.');
    if (DBOS.isInitialized())
      throw new Error('An engine runs in this process already, and DBOS is one per process. Stop it first.');
  };

  async function start(): Promise<void> {
    mustBeNew();
    const { heartbeatMs = 5000, deadAfterMs = 15_000 } = options;
    const recover = recoverOn(database.pool);
    const onTaken = () =>
      void stop().catch((error: unknown) => log.error({ err: error }, 'engine did not stop cleanly'));
    try {
      if (options.singleProcess) {
        guard = await holdDataLock({ url: database.url, log, probeMs: heartbeatMs, onTaken });
        await launch();
        await takeOverAll(database.pool, executorId, recover, log);
      } else {
        const replicas = await joinReplicas({
          url: database.url,
          executorId,
          heartbeatMs,
          deadAfterMs,
          recover,
          log,
        });
        guard = replicas;
        await launch();
        await replicas.start();
      }
      sweep = setRepeating(
        () => resumeStranded({ pool: database.pool, executorId, takenBeforeMs: deadAfterMs, queueName, log }),
        deadAfterMs,
        (error) => log.warn({ err: error }, 'sweep for stranded work failed'),
      );
    } catch (error) {
      await (stopped ??= stopOnce());
      throw error;
    }
  }

  async function launch(): Promise<void> {
    launched = true;
    const known = await client;
    // Before the launch, or its first poll would not know the queue.
    await known.registerQueue(queueName, {
      workerConcurrency: options.concurrency ?? 5000,
      minPollingIntervalMs: options.pollMs ?? 50,
    });
    const registered = registerAll(workflows, schedules, life, options);
    DBOS.setConfig({
      name: applicationName,
      applicationVersion,
      executorID: executorId,
      systemDatabaseUrl: engineUrl(database.url),
      systemDatabasePoolSize: enginePoolSize,
      systemDatabaseIdleTransactionTimeoutMs: 0,
      runMigrations: false,
      logger: quiet(log),
    });
    await DBOS.launch();
    for (const known of await DBOS.listSchedules()) {
      if (!schedules.has(known.scheduleName)) await DBOS.deleteSchedule(known.scheduleName);
    }
    if (registered.length > 0) await DBOS.applySchedules(registered);
  }

  async function statuses(workflowIds: readonly string[]): Promise<ReadonlyMap<string, EngineStatus>> {
    const { rows } = await database.pool.query<{ id: string; status: string }>(
      'select workflow_uuid as id, status from dbos.workflow_status where workflow_uuid = any($1::text[])',
      [workflowIds],
    );
    return new Map(
      rows.flatMap(({ id, status }) => {
        const known = states[status];
        return known ? [[id, known] as const] : [];
      }),
    );
  }

  /** A start under way comes to its end first: half a DBOS cannot be shut down. */
  async function stop(): Promise<void> {
    await starting?.catch(() => undefined);
    await (stopped ??= stopOnce());
  }

  async function stopOnce(): Promise<void> {
    life.stopping = true;
    await sweep?.stop();
    const deadline = Date.now() + (options.drainMs ?? 5000);
    while (life.openSteps > 0 && Date.now() < deadline) await sleep(20);
    if (life.openSteps > 0)
      log.warn({ openSteps: life.openSteps }, 'engine stops before its steps are done; they will run again');
    if (launched) await shutdown();
    await guard?.stop();
  }

  return {
    register: (name, run) => {
      mustBeNew();
      workflows.set(name, run as DurableFunction);
    },
    schedule: (name, cron, run) => {
      mustBeNew();
      schedules.set(name, { cron, run });
    },
    start,
    stop,
    enqueue: async (tx, request) => enqueue(await client, tx, request),
    signal: async (workflowId, topic, message, idempotencyKey) => {
      try {
        await (await client).send(workflowId, message, topic, idempotencyKey);
      } catch (error) {
        if (!isMissingDestination(error)) throw error;
        log.debug({ workflowId, topic }, 'signal to a workflow that does not exist');
      }
    },
    cancel: async (workflowId) => (await client).cancelWorkflow(workflowId),
    status: async (workflowId) => (await statuses([workflowId])).get(workflowId) ?? null,
    statuses,
  };
}

type DurableFunction = (context: DurableContext, input: unknown) => Promise<void>;
interface Schedule {
  readonly cron: string;
  readonly run: (scheduledAt: Date) => Promise<void>;
}

/** DBOS calls by name, so both go under the names their rows carry; a schedule is a workflow of one step. */
function registerAll(
  workflows: ReadonlyMap<string, DurableFunction>,
  schedules: ReadonlyMap<string, Schedule>,
  life: Lifecycle,
  { log, maxRecoveries: maxRecoveryAttempts = 10 }: EngineOptions,
) {
  for (const [name, run] of workflows)
    DBOS.registerWorkflow(makeRun(name, run, life, log), { name, maxRecoveryAttempts });
  return [...schedules].map(([scheduleName, { cron, run }]) => {
    const name = `schedule:${scheduleName}`;
    const once = (context: DurableContext, scheduledAt: Date) => context.step('run', () => run(scheduledAt));
    const workflowFn = DBOS.registerWorkflow(makeRun<[Date, unknown]>(name, once, life, log), {
      name,
      maxRecoveryAttempts,
    });
    return { scheduleName, workflowFn, schedule: cron, queueName, cronTimezone: 'UTC' };
  });
}

async function enqueue(client: DBOSClient, tx: Transaction, request: EnqueueRequest): Promise<void> {
  try {
    await client.enqueueInTransaction<(input: unknown) => Promise<void>>(
      tx.client,
      {
        queueName,
        workflowName: request.workflow,
        workflowID: request.id,
        appVersion: applicationVersion,
        ...(request.priority === undefined ? {} : { priority: request.priority }),
        ...(request.delayMs === undefined ? {} : { delaySeconds: Math.ceil(request.delayMs) / 1000 }),
      },
      request.input,
    );
  } catch (error) {
    if (!(error instanceof dbosErrors.DBOSConflictingWorkflowError)) throw error;
    throw new ServiceError(
      'conflict',
      'workflow_id_taken',
      `"${request.id}" cannot start "${request.workflow}", because another workflow has this id. Choose another id.`,
      { cause: error },
    );
  }
}

/** Ends DBOS. A waiting `receive` would sleep on for up to 10 s and keep the process alive, so each is woken. */
async function shutdown(): Promise<void> {
  const system = DBOSExecutor.globalInstance?.systemDatabase;
  await DBOS.shutdown({ deregister: true });
  for (const waiting of system?.notificationsMap.map.values() ?? []) for (const wake of [...waiting.values()]) wake();
}

/** DBOS reports its inner life at every level; what matters of it we log ourselves. */
function quiet(log: Logger): DLogger {
  const debug = (entry: unknown) => log.debug({ source: 'dbos' }, String(entry));
  return { debug, info: debug, warn: debug, error: debug };
}
