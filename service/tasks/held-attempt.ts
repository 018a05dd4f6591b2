import type { AttemptRef } from '../../modules/contract.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { BridgeIdentity } from '../bridge/bridge.ts';
import { isCurrent } from '../bridge/bridge-store.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { Engine } from '../platform/engine.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { appendEvent } from './task-events.ts';
import { changeAttempt, lockTask, moveTask, readAttempt } from './task-store.ts';
import { attemptWorkflowId, lookTopic, type AttemptRecord, type TaskRecord } from './task.ts';
import type { WorkLimits } from './work-bounds.ts';

export interface LeaseParts {
  readonly database: Database;
  readonly engine: Pick<Engine, 'signal'>;
  readonly audit: AuditLog;
  readonly approvals: Approvals;
  readonly gateway: Pick<Gateway, 'mintTaskToken'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** What may run in the workspace of a bridge, as built. Throws what Coder's calls throw. */
  readonly limitsOf: (bridge: BridgeIdentity) => Promise<WorkLimits>;
}

/** Tells an attempt's durable function to look at its row; the same key is delivered once. */
export const look = (parts: LeaseParts, ref: AttemptRef, key: string): Promise<void> =>
  parts.engine.signal(attemptWorkflowId(ref.task_id, ref.attempt), lookTopic, {}, key);

/** The attempt, if it is the current one of a task in this bridge's workspace and still leased. */
export async function lockHeld(
  tx: Transaction,
  parts: Pick<LeaseParts, 'clock'>,
  bridge: BridgeIdentity,
  ref: AttemptRef,
): Promise<{ task: TaskRecord; attempt: AttemptRecord } | null> {
  await mustBeCurrent(tx, parts, bridge);
  const task = await lockTask(tx, ref.task_id);
  if (!task || task.workspaceId !== bridge.workspaceId || task.attempt !== ref.attempt) return null;
  const attempt = await readAttempt(tx, ref.task_id, ref.attempt);
  return attempt?.state === 'leased' ? { task, attempt } : null;
}

/** An older registration, or one whose token ended, may do nothing any more. */
export async function mustBeCurrent(
  tx: Transaction,
  parts: Pick<LeaseParts, 'clock'>,
  bridge: BridgeIdentity,
): Promise<void> {
  if (!(await isCurrent(tx, bridge, parts.clock.now()))) throw bridgeFenced();
}

const bridgeFenced = (): ServiceError =>
  new ServiceError(
    'conflict',
    'bridge_fenced',
    'This bridge is no longer the one of its workspace, or its token has ended. Register again.',
  );

export const fencedOff = (ref: AttemptRef): ServiceError =>
  new ServiceError(
    'conflict',
    'attempt_fenced',
    `Attempt ${ref.attempt} of task ${ref.task_id} is not this bridge's any more. Stop it and drop its messages.`,
  );

/** The harness has begun to work on the attempt. */
export async function beginRunning(tx: Transaction, task: TaskRecord, now: Date): Promise<void> {
  await moveTask(tx, task, 'running', task.startedAt ? {} : { started_at: now });
  await changeAttempt(tx, task.id, task.attempt, { running_at: now });
  await appendEvent(tx, { taskId: task.id, attempt: task.attempt, type: 'task.running', at: now });
}
