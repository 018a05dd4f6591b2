import { limits } from '../../modules/contract.ts';
import { promptlessAgents } from '../agents/actions.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { appendEvent } from './task-events.ts';
import { insertMessage, undelivered, type StoredMessage } from './task-message-store.ts';
import { lockTask, readAttempt } from './task-store.ts';
import type { TaskRecord } from './task.ts';

/** So that a lease, which carries them all, stays far below the size of a frame. */
const mostWaiting = 20;

/**
 * Says something to a task. A running attempt passes it on to its session at once, as the next prompt; else the next
 * attempt says it behind the task's own prompt. Each session hears it at most once.
 *
 * Errors  `conflict` where the task is finished or being stopped, `unprocessable` where its agent has no conversation,
 *         `rate_limited` where 20 messages wait.
 */
export async function tellTask(
  tx: Transaction,
  parts: { readonly audit: AuditLog; readonly clock: Clock },
  taskId: string,
  said: { readonly text: string; readonly actorId: string; readonly requestId: string },
): Promise<StoredMessage> {
  const task = await lockTask(tx, taskId);
  if (!task) throw notFound(`Task '${taskId}'`);
  mustListen(task);
  if ((await undelivered(tx, taskId)).length >= mostWaiting) throw tooMany;
  const now = parts.clock.now();
  const message = { id: uuidv7(parts.clock), taskId, authorId: said.actorId, text: said.text, createdAt: now };
  await insertMessage(tx, message);
  const { attempt } = task;
  if ((await readAttempt(tx, taskId, attempt))?.state === 'leased')
    await sendToBridge(tx, parts.clock, task.workspaceId, 'message', {
      task_id: taskId,
      attempt,
      message: { id: message.id, text: said.text },
    });
  await appendEvent(tx, { taskId, attempt, type: 'message.queued', at: now, data: { id: message.id } });
  await parts.audit.append(tx, {
    actor: `user:${said.actorId}`,
    action: 'task.message_sent',
    target: { type: 'task', id: taskId },
    outcome: 'success',
    ownerId: task.ownerId,
    organizationId: task.organizationId,
    workspaceId: task.workspaceId,
    requestId: said.requestId,
    data: { attempt, message_id: message.id, bytes: Buffer.byteLength(said.text) },
  });
  return { ...message, deliveredAt: null, attempt: null };
}

function mustListen(task: TaskRecord): void {
  if (task.state === 'finished' || task.state === 'stopping')
    throw new ServiceError(
      'conflict',
      'task_finished',
      `This task is ${task.outcome ?? 'being stopped'} and hears nothing more. Submit a new one, or retry this one.`,
    );
  if (promptlessAgents.includes(task.agent))
    throw new ServiceError(
      'unprocessable',
      'agent_without_conversation',
      `Agent ${task.agent} does what its parameters say and holds no conversation. Stop the task and submit another.`,
    );
}

const tooMany = new ServiceError(
  'rate_limited',
  'messages_waiting',
  `${mostWaiting} messages wait to be heard by this task. Send the next one when it has heard some.`,
  { retryAfterSeconds: 10 },
);

export const isShort = (text: string): boolean => Buffer.byteLength(text) <= limits.messageBytes;
