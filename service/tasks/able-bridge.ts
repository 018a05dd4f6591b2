import { commandCapability } from '../../modules/contract.ts';
import { readRegistration } from '../bridge/harness-parts-store.ts';
import type { Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { commandOf } from './lease-for.ts';
import type { TaskRecord } from './task.ts';

/**
 * Why the bridge of a workspace cannot do a task; null where it can.
 *
 * A bridge that knows nothing of commands would hand the prompt of the task to its model, so it gets no such lease.
 */
export async function unableBridge(tx: Transaction, task: TaskRecord): Promise<ServiceError | null> {
  if (commandOf(task).command === undefined) return null;
  const registration = await readRegistration(tx, task.workspaceId);
  if (registration?.capabilities.includes(commandCapability)) return null;
  return new ServiceError(
    'unprocessable',
    'bridge_too_old',
    `The bridge of workspace ${task.workspaceName} is too old to run the commands of agent '${task.agent}'. Update the opencode image of its template and build the workspace again.`,
  );
}
