import type { Gateway } from '../gateway/gateway.ts';
import { notify, type Transaction } from '../platform/database.ts';

/** Channel on which a task id says: end the model calls you have open for it. */
export const endCallsChannel = 'outrigger_end_calls';

/** No call can begin any more, and those open in any process end once the transaction has committed. */
export async function endModelCalls(
  tx: Transaction,
  gateway: Pick<Gateway, 'revokeTaskTokens'>,
  taskId: string,
): Promise<void> {
  await gateway.revokeTaskTokens(tx, taskId);
  await notify(tx, endCallsChannel, taskId);
}
