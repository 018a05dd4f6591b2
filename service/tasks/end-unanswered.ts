import { sql } from 'kysely';
import { tasksWithDueParked } from '../approvals/approval-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { unpark } from './park.ts';
import { finishTask, type SettleParts } from './settle.ts';
import { lockTask, readAttempt } from './task-store.ts';

/** Ends what was parked and never answered. */
export async function endUnanswered(
  parts: SettleParts & { database: Database; engine: Pick<Engine, 'signal'> },
): Promise<void> {
  const { database, clock, engine, approvals } = parts;
  for (const taskId of await tasksWithDueParked(database, clock.now())) {
    const wakes = await database.transaction(async (tx) => {
      const task = await lockTask(tx, taskId);
      if (task?.state !== 'parked' || !(await approvals.expireParked(tx, taskId))) return [];
      await approvals.withdraw(tx, taskId);
      const last = await readAttempt(tx, taskId, task.attempt);
      const message = 'Nobody answered what the agent asked.';
      const verdict = { outcome: 'failed' as const, reason: 'PermissionRequired' as const, message };
      return finishTask(tx, parts, task, last?.evidence ?? null, verdict, 'service');
    });
    for (const wake of wakes) await engine.signal(wake.workflowId, wake.topic, {}, `unanswered:${taskId}`);
  }
}

/** Lets parked tasks go on whose last question was answered while an earlier version ran, which leaves them there. */
export async function goOnAnswered({ database, clock }: { database: Database; clock: Clock }): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    select id from task
     where state = 'parked'
       and not exists (select from approval where approval.task_id = task.id and approval.state = 'pending')
     limit 1000`.execute(database.as<unknown>());
  for (const { id } of rows)
    await database.transaction(async (tx) => {
      const task = await lockTask(tx, id);
      if (task) await unpark(tx, task, clock.now());
    });
}
