import { DBOS, Error as dbosErrors } from '@dbos-inc/dbos-sdk';
import type { DurableContext } from './engine.ts';
import { ServiceError } from './errors.ts';
import type { Logger } from './logger.ts';

/** What the runs of one engine share. */
export interface Lifecycle {
  stopping: boolean;
  /** Steps and signals under way; `stop` lets them finish. */
  openSteps: number;
}

/** About half a minute in all: the time a database needs to come back. */
const stepRetry = { retriesAllowed: true, maxAttempts: 8, intervalSeconds: 0.25, backoffRate: 2 } as const;

const never = <Result>(): Promise<Result> => new Promise<Result>(() => undefined);

/**
 * What DBOS runs for a workflow: gives the function its context, and ends it from outside when it was canceled,
 * lost its ownership, or the engine stops. The function cannot catch these: its open call just never returns.
 */
export function makeRun<Parameters extends unknown[]>(
  name: string,
  run: (context: DurableContext, ...parameters: Parameters) => Promise<void>,
  life: Lifecycle,
  log: Logger,
): (...parameters: Parameters) => Promise<void> {
  return async (...parameters) => {
    if (life.stopping) return await never();
    const workflowId = DBOS.workflowID ?? '';
    try {
      await new Promise<void>((resolve, reject) => {
        run(makeContext(workflowId, life, reject, log), ...parameters).then(resolve, reject);
      });
    } catch (error) {
      if (!isEnding(error)) log.error({ err: error, workflow: name, workflowId }, 'workflow failed');
      throw error;
    }
  };
}

function makeContext(workflowId: string, life: Lifecycle, end: (reason: unknown) => void, log: Logger): DurableContext {
  let open: string | null = null;

  async function call<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    if (open !== null) throw parallelCall(name, open);
    if (life.stopping) return await never();
    open = name;
    try {
      return await work();
    } catch (error) {
      // While stopping, an error may be the closing database's: the next run finds out what is recorded.
      if (life.stopping) return await never();
      if (!isEnding(error)) throw error;
      end(error);
      return await never();
    } finally {
      open = null;
    }
  }

  async function counted<Result>(work: () => Promise<Result>): Promise<Result> {
    life.openSteps += 1;
    try {
      return await work();
    } finally {
      life.openSteps -= 1;
    }
  }

  return {
    workflowId,
    step: (name, work) =>
      call(name, () => counted(() => DBOS.runStep(work, { name, ...stepRetry, shouldRetry: isLostDatabase }))),
    receive: (topic, timeoutMs) => call(`receive ${topic}`, () => DBOS.recv(topic, timeoutMs / 1000)),
    signal: (destination, topic, message) =>
      call(`signal ${topic}`, () =>
        counted(() => DBOS.send(destination, message, topic)).catch((error: unknown) => {
          if (!isMissingDestination(error)) throw error;
          log.debug({ workflowId: destination, topic }, 'signal to a workflow that does not exist');
        }),
      ),
  };
}

const parallelCall = (name: string, open: string) =>
  new ServiceError(
    'internal',
    'engine_parallel_call',
    `A durable function called "${name}" while its "${open}" was open. Calls are replayed by their order, so await each before the next.`,
  );

/** Canceled, or another process owns the workflow: DBOS ends this run without a result of its own. */
const isEnding = (error: unknown): boolean =>
  error instanceof dbosErrors.DBOSWorkflowCancelledError || error instanceof dbosErrors.DBOSWorkflowConflictError;

/** By its message: replayed from the record it is a plain Error. */
export const isMissingDestination = (error: unknown): boolean =>
  error instanceof Error && error.message.includes('non-existent destination workflow');

/**
 * The database went away or gave up a transaction, so the same step can succeed a moment later. Adapters of other
 * services wrap their faults in a ServiceError, so a bare refused connection is the database's.
 *
 * Source: postgresql.org/docs/current/errcodes-appendix.html
 */
function isLostDatabase(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof ServiceError) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return (
    /^(08...|57P0[1-3]|40001|40P01|53300|ECONNREFUSED|ECONNRESET|EPIPE)$/.test(code) ||
    /connection terminated|timeout exceeded when trying to connect|connection error and is not queryable/i.test(
      error.message,
    )
  );
}
