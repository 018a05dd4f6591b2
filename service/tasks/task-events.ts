import { limits, type TaskEvent, type TaskEventType } from '../../modules/contract.ts';
import { notify, type Database, type Transaction } from '../platform/database.ts';
import type { EventSource } from './event-stream.ts';
import { storableJson } from '../platform/storable.ts';

/** Channel on which a task id says: there are new events. */
export const eventChannel = 'outrigger_task_event';

/** Channel on which a workflow id says: one of its steps began, waits for somebody, or goes on. */
export const stepMovedChannel = 'outrigger_step_moved';
const moving: readonly TaskEventType[] = [
  'task.running',
  'task.waiting',
  'task.parked',
  'approval.decided',
  'approval.expired',
  'approval.withdrawn',
];

interface Tables {
  task: { id: string; event_seq: number; state: string; workflow_id: string | null };
  task_event: {
    task_id: string;
    seq: number;
    at: Date;
    type: TaskEventType;
    attempt: number;
    data: unknown;
  };
}

export interface NewEvent {
  readonly taskId: string;
  readonly attempt: number;
  readonly type: TaskEventType;
  readonly at: Date;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Adds an event with the task's next number, in the caller's transaction. Data above 64 KiB is replaced by its size. */
export async function appendEvent(tx: Transaction, event: NewEvent): Promise<number> {
  const { event_seq: seq, workflow_id: workflowId } = await tx
    .as<Tables>()
    .updateTable('task')
    .set((eb) => ({ event_seq: eb('event_seq', '+', 1) }))
    .where('id', '=', event.taskId)
    .returning(['event_seq', 'workflow_id'])
    .executeTakeFirstOrThrow();
  await tx
    .as<Tables>()
    .insertInto('task_event')
    .values({
      task_id: event.taskId,
      seq,
      at: event.at,
      type: event.type,
      attempt: event.attempt,
      data: boundedData(event.data ?? {}),
    })
    .execute();
  await notify(tx, eventChannel, event.taskId);
  if (workflowId !== null && moving.includes(event.type)) await notify(tx, stepMovedChannel, workflowId);
  return seq;
}

/** Data of an event as it is stored; above 64 KiB, its size instead. */
export function boundedData(data: Readonly<Record<string, unknown>>): string {
  const text = storableJson(data);
  const bytes = Buffer.byteLength(text);
  return bytes <= limits.eventBytes ? text : JSON.stringify({ truncated: true, bytes });
}

/** Events after `afterSeq`, oldest first. */
export async function readEvents(
  database: Pick<Database, 'as'>,
  taskId: string,
  afterSeq: number,
  limit = 500,
): Promise<readonly TaskEvent[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('task_event')
    .selectAll()
    .where('task_id', '=', taskId)
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    seq: row.seq,
    at: row.at.toISOString(),
    type: row.type,
    task_id: row.task_id,
    attempt: row.attempt,
    data: row.data as TaskEvent['data'],
  }));
}

/** The events of tasks, for whoever streams them. */
export const taskEvents: EventSource = {
  channel: eventChannel,
  read: readEvents,
  lastType: 'task.finished',
  async standOf(database, taskId) {
    const row = await database
      .as<Tables>()
      .selectFrom('task')
      .select(['event_seq', 'state'])
      .where('id', '=', taskId)
      .executeTakeFirst();
    return { lastSeq: row?.event_seq ?? 0, isFinished: row?.state === 'finished' };
  },
};
