import type { EgressBlocked } from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import type { TaskTables } from './task-rows.ts';
import { appendEvent } from './task-events.ts';

/** Says to every task that runs in a workspace which hosts it was refused: `egress.blocked`. */
export const tellTasksOfBlocked =
  (clock: Clock) =>
  async (tx: Transaction, workspaceId: string, blocked: readonly EgressBlocked[]): Promise<void> => {
    const running = await tx
      .as<TaskTables>()
      .selectFrom('task')
      .select(['id', 'attempt'])
      .where('workspace_id', '=', workspaceId)
      .where('state', 'in', ['running', 'waiting'])
      .execute();
    const hosts = blocked.slice(0, 20).map(({ host, port, reason }) => ({ host, port, reason }));
    for (const { id, attempt } of running)
      await appendEvent(tx, { taskId: id, attempt, type: 'egress.blocked', at: clock.now(), data: { hosts } });
  };
