import { sql } from 'kysely';
import type { WorkflowEvent, WorkflowEventType } from '../../modules/contract.ts';
import { notify, type Database, type Transaction } from '../platform/database.ts';
import type { EventSource } from '../tasks/event-stream.ts';
import { boundedData } from '../tasks/task-events.ts';
import type { Told, WorkflowHead } from './workflow-store.ts';

/** Channel on which a workflow id says: there are new events. */
export const workflowEventChannel = 'outrigger_workflow_event';

interface Tables {
  workflow: { id: string; event_seq: number; outcome: string | null };
  workflow_step: { workflow_id: string; step_id: string; told: Told | null };
  workflow_event: {
    workflow_id: string;
    seq: number;
    at: Date;
    type: WorkflowEventType;
    run: number;
    step_id: string | null;
    data: unknown;
  };
}

export interface NewWorkflowEvent {
  readonly type: WorkflowEventType;
  readonly at: Date;
  readonly stepId?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Adds events with the workflow's next numbers, in the caller's transaction, which holds the workflow's row. Data above 64 KiB is replaced by its size. */
export async function appendWorkflowEvents(
  tx: Transaction,
  workflow: Pick<WorkflowHead, 'id' | 'run'>,
  events: readonly NewWorkflowEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const { event_seq: last } = await tx
    .as<Tables>()
    .updateTable('workflow')
    .set((eb) => ({ event_seq: eb('event_seq', '+', events.length) }))
    .where('id', '=', workflow.id)
    .returning('event_seq')
    .executeTakeFirstOrThrow();
  await tx
    .as<Tables>()
    .insertInto('workflow_event')
    .values(
      events.map((event, index) => ({
        workflow_id: workflow.id,
        seq: last - events.length + index + 1,
        at: event.at,
        type: event.type,
        run: workflow.run,
        step_id: event.stepId ?? null,
        data: boundedData(event.data ?? {}),
      })),
    )
    .execute();
  await notify(tx, workflowEventChannel, workflow.id);
}

/** Remembers what watchers were told of steps, so that nothing is told twice. */
export async function rememberTold(
  tx: Transaction,
  workflowId: string,
  told: ReadonlyMap<string, Told>,
): Promise<void> {
  if (told.size === 0) return;
  await sql`
    update workflow_step set told = news.told
      from unnest(${[...told.keys()]}::text[], ${[...told.values()]}::text[]) as news (step_id, told)
     where workflow_step.workflow_id = ${workflowId} and workflow_step.step_id = news.step_id`.execute(
    tx.as<unknown>(),
  );
}

/** Events after `afterSeq`, oldest first. */
export async function readWorkflowEvents(
  database: Pick<Database, 'as'>,
  workflowId: string,
  afterSeq: number,
  limit: number,
): Promise<readonly WorkflowEvent[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('workflow_event')
    .selectAll()
    .where('workflow_id', '=', workflowId)
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    seq: row.seq,
    at: row.at.toISOString(),
    type: row.type,
    workflow_id: row.workflow_id,
    run: row.run,
    step_id: row.step_id,
    data: row.data as WorkflowEvent['data'],
  }));
}

/** The events of workflows, for whoever streams them. */
export const workflowEvents: EventSource = {
  channel: workflowEventChannel,
  read: readWorkflowEvents,
  lastType: 'workflow.finished',
  async standOf(database, workflowId) {
    const row = await database
      .as<Tables>()
      .selectFrom('workflow')
      .select(['event_seq', 'outcome'])
      .where('id', '=', workflowId)
      .executeTakeFirst();
    return { lastSeq: row?.event_seq ?? 0, isFinished: Boolean(row?.outcome) };
  },
};
