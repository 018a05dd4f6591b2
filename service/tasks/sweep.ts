import type { Database } from '../platform/database.ts';
import type { Engine, EngineStatus } from '../platform/engine.ts';
import type { Logger } from '../platform/logger.ts';
import { settleAttempt, type SettleParts } from './settle.ts';
import type { TaskTables } from './task-rows.ts';
import { lockTask, readAttempt } from './task-store.ts';
import { attemptWorkflowId, failedEvidence } from './task.ts';

/** The engine's words for "nobody will take another turn". */
const ended: readonly (EngineStatus | null)[] = ['gave_up', 'failed', 'canceled', 'succeeded', null];

/** An attempt this young may still be on its way into the engine's tables. */
const graceMs = 60_000;

/**
 * Ends attempts whose durable function is over although they are not: it gave up because its process died with it
 * too often, or somebody removed it. Nothing waits for ever.
 */
export async function sweepLostAttempts(
  parts: SettleParts & { database: Database; engine: Pick<Engine, 'statuses' | 'signal'>; log: Logger },
): Promise<number> {
  const { database, engine, clock, log } = parts;
  const open = await database
    .as<TaskTables>()
    .selectFrom('attempt')
    .select(['task_id', 'number'])
    .where('state', '!=', 'settled')
    .where('created_at', '<', new Date(clock.now().getTime() - graceMs))
    .orderBy('created_at')
    .limit(10_000)
    .execute();
  const statuses = await engine.statuses(open.map((one) => attemptWorkflowId(one.task_id, one.number)));
  let swept = 0;
  for (const { task_id: taskId, number } of open) {
    const status = statuses.get(attemptWorkflowId(taskId, number)) ?? null;
    if (!ended.includes(status)) continue;
    const wakes = await database.transaction(async (tx) => {
      const task = await lockTask(tx, taskId);
      const attempt = await readAttempt(tx, taskId, number);
      if (!task || task.attempt !== number || !attempt || attempt.state === 'settled') return [];
      log.error({ taskId, attempt: number, status }, 'an attempt lost its durable function');
      const message = 'The service broke while it worked on this attempt.';
      return settleAttempt(tx, parts, task, failedEvidence({ reason: 'AgentError', message, retryable: true }));
    });
    for (const wake of wakes) await engine.signal(wake.workflowId, wake.topic, {}, `sweep:${taskId}:${number}`);
    swept += 1;
  }
  return swept;
}
