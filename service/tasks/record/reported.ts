import { sql } from 'kysely';
import { limits, type Evidence } from '../../../modules/contract.ts';
import type { Transaction } from '../../platform/database.ts';
import { redacted } from '../../platform/redact.ts';
import { appendEvent, type NewEvent } from '../task-events.ts';

/** What a row costs beside its data, so that events without any are bounded too. */
const rowBytes = 256;

/**
 * Adds an event that a bridge reported to the transcript of its task, in the caller's transaction, which holds the row
 * of the task: without what looks like a secret, and only while there is room.
 *
 * Bound    above `limits.transcriptBytes` one notice says that the transcript is full, and the rest is dropped; what the
 *          service itself says of the task is always kept.
 */
export async function appendReported(tx: Transaction, event: NewEvent): Promise<void> {
  const data = redacted(event.data ?? {});
  const bytes = Math.min(Buffer.byteLength(JSON.stringify(data)), limits.eventBytes) + rowBytes;
  const room = await takeRoom(tx, event.taskId, bytes);
  if (room === 'taken') await appendEvent(tx, { ...event, data });
  if (room === 'last')
    await appendEvent(tx, {
      ...event,
      type: 'bridge.notice',
      data: {
        notice: 'The transcript is full; what else the agent says and does is not in it.',
        limit_bytes: limits.transcriptBytes,
      },
    });
}

/** `last`: there is none for this event, and nobody was told so yet. */
async function takeRoom(tx: Transaction, taskId: string, bytes: number): Promise<'taken' | 'last' | 'full'> {
  const full = limits.transcriptBytes + 1;
  const { rows } = await sql<{ before: number; after: number }>`
    update task set event_bytes = case when task.event_bytes + ${bytes} > ${full - 1} then ${full}
                                       else task.event_bytes + ${bytes} end
      from (select id, event_bytes from task where id = ${taskId}) as old
     where task.id = old.id
    returning old.event_bytes as before, task.event_bytes as after`.execute(tx.as<unknown>());
  const [{ before, after } = { before: full, after: full }] = rows;
  if (after < full) return 'taken';
  return before < full ? 'last' : 'full';
}

/** Evidence whose texts an agent, or a command of the repository's, wrote. */
export const withoutSecrets = (evidence: Evidence): Evidence => ({
  ...evidence,
  last_message: redacted(evidence.last_message),
  tool_exits: redacted(evidence.tool_exits),
  verify: redacted(evidence.verify),
  failure: redacted(evidence.failure),
});
