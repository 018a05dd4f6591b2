import type { Transaction } from '../platform/database.ts';
import type { Approval } from './approval.ts';

interface Tables {
  approval_rule: { task_id: string; call_hash: string; approval_id: string; created_by: string; created_at: Date };
}

/** A person said `always` to a call: it holds for this very call, and for this task only. */
export async function rememberCall(tx: Transaction, approval: Approval, actorId: string, now: Date): Promise<void> {
  await tx
    .as<Tables>()
    .insertInto('approval_rule')
    .values({
      task_id: approval.task_id,
      call_hash: approval.callHash,
      approval_id: approval.id,
      created_by: actorId,
      created_at: now,
    })
    .onConflict((conflict) => conflict.columns(['task_id', 'call_hash']).doNothing())
    .execute();
}

/** Who said `always` to this call of this task; null where nobody did. */
export async function rememberedBy(tx: Transaction, taskId: string, callHash: string): Promise<string | null> {
  const row = await tx
    .as<Tables>()
    .selectFrom('approval_rule')
    .select('created_by')
    .where('task_id', '=', taskId)
    .where('call_hash', '=', callHash)
    .executeTakeFirst();
  return row?.created_by ?? null;
}
