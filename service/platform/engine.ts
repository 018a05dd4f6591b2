import type { Database, Transaction } from './database.ts';
import type { Logger } from './logger.ts';

export { createEngine, migrateEngine } from './engine-dbos.ts';

/**
 * What a durable function may do. After a crash it runs again from its first line, and every call below answers
 * what it answered before, so the function must make the same calls in the same order: no clock, no randomness
 * and no reads outside a step, and one call at a time (a second call while one is open throws).
 *
 * A canceled function, or one whose process is stopping, never returns from its next call: `finally` does not run.
 */
export interface DurableContext {
  readonly workflowId: string;
  /**
   * Runs `work` and records its result, or what it threw, as JSON.
   *
   * Safety   at least once: a crash before the record runs it again, so an outside effect carries an idempotency
   *          key made of the workflow id and the step. Once recorded it never runs again.
   * Names    need not be unique; a replay that finds another name at the same place fails the workflow.
   * Errors   lost database connections are retried for half a minute; anything else is recorded and thrown,
   *          on a replay as a plain Error with the same message and fields.
   */
  step<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
  /**
   * Waits for a signal, oldest first (by the millisecond); null when the deadline passes. A message sent before the
   * call is kept.
   *
   * Units    `timeoutMs` counts from the first time the call was reached, also across restarts.
   */
  receive<Message>(topic: string, timeoutMs: number): Promise<Message | null>;
  /** Signals another workflow, exactly once. A workflow that does not exist is no error. */
  signal(workflowId: string, topic: string, message: unknown): Promise<void>;
}

/**
 * `queued` waits for a place, `delayed` for its time, `running` also while it waits in `receive`.
 * `gave_up`: its process died too often while it made no progress (see `maxRecoveries`).
 */
export type EngineStatus = 'queued' | 'delayed' | 'running' | 'succeeded' | 'failed' | 'canceled' | 'gave_up';

export interface EnqueueRequest {
  /** The name it was registered under. */
  readonly workflow: string;
  /** Idempotency key: it exists once, however often it is enqueued, also after it finished. */
  readonly id: string;
  /** JSON. */
  readonly input: unknown;
  /** 0 (default) runs first. */
  readonly priority?: number;
  /** Not before this many milliseconds from now; noticed within a second after. */
  readonly delayMs?: number;
}

/** Durable functions, queued and recovered in Postgres. One started engine per process. */
export interface Engine {
  /** Names a durable function; before `start`. The name is stored with the work: renaming one strands its rows. */
  register<Input>(name: string, run: (context: DurableContext, input: Input) => Promise<void>): void;
  /**
   * Runs `run` at each tick of `cron` (5 fields, or 6 with seconds; UTC), once across replicas; before `start`.
   * Ticks missed while no replica ran are skipped. Starts up to a tenth of the interval late, at most 10 s.
   */
  schedule(name: string, cron: string, run: (scheduledAt: Date) => Promise<void>): void;
  /** Takes work, and takes over what earlier or dead processes left. Errors: conflict `data_in_use`. */
  start(): Promise<void>;
  /**
   * Takes no more work, lets open steps finish (at most `drainMs`) and returns. What waits is picked up by
   * another replica or the next start. Idempotent; the engine cannot be started again.
   */
  stop(): Promise<void>;
  /**
   * Adds work in the caller's transaction: rolled back, it never existed. Needs no `start`.
   * Errors: conflict `workflow_id_taken` when the id belongs to another workflow name; the transaction stays usable.
   */
  enqueue(tx: Transaction, request: EnqueueRequest): Promise<void>;
  /** Signals from outside a workflow; the same key twice is delivered once. An unknown workflow is no error. */
  signal(workflowId: string, topic: string, message: unknown, idempotencyKey: string): Promise<void>;
  /**
   * Ends a workflow that has not ended. `status` says so at once; the function itself stops at its next call,
   * an open `receive` within 10 s. Idempotent; an unknown workflow is no error.
   */
  cancel(workflowId: string): Promise<void>;
  /** Null for an unknown workflow. */
  status(workflowId: string): Promise<EngineStatus | null>;
  /** The same of many, in one query; an unknown workflow is missing. */
  statuses(workflowIds: readonly string[]): Promise<ReadonlyMap<string, EngineStatus>>;
}

export interface EngineOptions {
  readonly database: Database;
  /** Random per process: two processes under one id would take each other's running work. */
  readonly executorId: string;
  readonly log: Logger;
  /** @default 5000. A workflow holds its place while it waits, so this bounds waiting, not CPU. */
  readonly concurrency?: number;
  /** @default 50. Starts within 70 ms (p99) for about 5 % of a core when idle. */
  readonly pollMs?: number;
  /** @default 5000 */
  readonly heartbeatMs?: number;
  /** @default 15000. Shorter, and a paused process loses its work to another while it still runs. */
  readonly deadAfterMs?: number;
  /** True: hold the one lock on the data and take over everything. False: heartbeat beside other replicas. */
  readonly singleProcess: boolean;
  /**
   * Process deaths in a row that one workflow may be part of without progress; after one more it is given up. A
   * death while it waits in `receive`, or after it recorded a step, does not count. From the second on it starts
   * again up to 4, 8 … 30 s later, so that it dies alone.
   * @default 10, because an innocent long step may be cut by several restarts, and a poison pill costs one each.
   */
  readonly maxRecoveries?: number;
  /** @default 5000. How long `stop` lets open steps finish. */
  readonly drainMs?: number;
}
