import { DBOS } from '@dbos-inc/dbos-sdk';
// Exported for tools, not promised: the version is pinned and engine-crash.test.ts holds us to what it does.
import { DBOSExecutor } from '@dbos-inc/dbos-sdk/internal/dbos-executor';
import type pg from 'pg';
import type { Recover } from './engine-replicas.ts';
import type { Logger } from './logger.ts';

/**
 * DBOS counts every start of a workflow and gives it up at its limit, so by itself it would give up whatever
 * happened to run while the process died for another reason. A workflow that waits for a signal (its deadline is
 * recorded, the answer is not), or has recorded anything since it was started, did not kill the process: its count
 * begins again. What is left are workflows that die at the same place each time, and those that ran beside them.
 */
const forgiveInnocent = `
  update dbos.workflow_status as workflow set recovery_attempts = 0
  where status = 'PENDING' and executor_id = any($1) and (
    exists (
      select from dbos.operation_outputs as deadline
      where deadline.workflow_uuid = workflow.workflow_uuid and deadline.function_name = 'DBOS.sleep' and not exists (
        select from dbos.operation_outputs as answer
        where answer.workflow_uuid = workflow.workflow_uuid and answer.function_id = deadline.function_id - 1))
    or exists (
      select from dbos.operation_outputs as progress
      where progress.workflow_uuid = workflow.workflow_uuid
        and progress.completed_at_epoch_ms >= workflow.started_at_epoch_ms))`;

/**
 * Suspects start again apart: after two deaths without progress within 4 s, then 8, at most 30. So the poison pill
 * dies alone one of these times, those beside it get on and are forgiven, and the service lives in between.
 */
const setSuspectsAside = `
  update dbos.workflow_status
  set status = 'DELAYED', delay_until_epoch_ms = (extract(epoch from now()) * 1000
    + least(power(2, recovery_attempts), 30) * 1000 * (0.25 + 0.75 * random()))::bigint
  where workflow_uuid = any($1) and status = 'ENQUEUED' and recovery_attempts >= 2`;

/** Puts the running work of ended processes back into the queue. */
export const recoverOn =
  (pool: pg.Pool): Recover =>
  async (executorIds) => {
    await pool.query(forgiveInnocent, [executorIds]);
    const recovered = (await DBOSExecutor.globalInstance?.recoverPendingWorkflows([...executorIds])) ?? [];
    await pool.query(setSuspectsAside, [recovered.map((workflow) => workflow.workflowID)]);
    return recovered.length;
  };

/**
 * Puts back what this process took from the queue but never began, because the database went away between the two:
 * DBOS would leave it until the process ends. One that does begin later loses its ownership, and only once runs on.
 */
export async function resumeStranded(options: {
  pool: pg.Pool;
  executorId: string;
  takenBeforeMs: number;
  queueName: string;
  log: Logger;
}): Promise<void> {
  const { pool, executorId, takenBeforeMs, queueName, log } = options;
  const { rows } = await pool.query<{ id: string }>(
    `select workflow_uuid as id from dbos.workflow_status
     where status = 'PENDING' and executor_id = $1 and started_at_epoch_ms < extract(epoch from now()) * 1000 - $2`,
    [executorId, takenBeforeMs],
  );
  const running = DBOSExecutor.globalInstance?.systemDatabase;
  const workflowIds = rows.map((row) => row.id).filter((id) => running?.checkForRunningWorkflow(id) === false);
  if (workflowIds.length === 0) return;
  await DBOS.resumeWorkflows(workflowIds, { queueName });
  log.warn({ workflowIds }, 'put back work that was taken but never began');
}
