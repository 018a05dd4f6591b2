import type { Reason } from '../../modules/contract.ts';
import { serviceAgents } from '../agents/actions.ts';
import { sendToBridge } from '../bridge/bridge-store.ts';
import type { Transaction } from '../platform/database.ts';
import { endModelCalls } from './end-calls.ts';
import type { SettleParts } from './settle.ts';
import { appendEvent } from './task-events.ts';
import { moveTask } from './task-store.ts';
import { auditOf, type TaskRecord } from './task.ts';

/**
 * Moves a running task to `stopping` and sends the command; the bridge answers with its receipt. An agent of the service
 * gets no command: whoever does its work looks at the task.
 */
export async function askToStop(
  tx: Transaction,
  parts: Pick<SettleParts, 'clock' | 'audit' | 'gateway'>,
  task: TaskRecord,
  reason: Reason,
  by: { actor: string; requestId: string | null },
): Promise<void> {
  const now = parts.clock.now();
  await moveTask(tx, task, 'stopping', { reason, stop_reason: reason, stop_requested_at: now });
  await endModelCalls(tx, parts.gateway, task.id);
  await parts.audit.append(tx, {
    actor: by.actor,
    action: 'task.stop_requested',
    ...auditOf(task),
    outcome: 'success',
    requestId: by.requestId,
    data: { attempt: task.attempt, state: task.state, reason },
  });
  await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.stopping', at: now, data: { reason } });
  if (serviceAgents.includes(task.agent)) return;
  await sendToBridge(tx, parts.clock, task.workspaceId, 'stop', { task_id: task.id, attempt: task.attempt, reason });
}
