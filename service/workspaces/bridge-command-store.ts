import { sql } from 'kysely';
import type { Transaction } from '../platform/database.ts';

/** Notes that an approval was used; false where it had been before. */
export async function useApproval(
  tx: Transaction,
  use: { readonly approvalId: string; readonly commandId: string; readonly now: Date },
): Promise<boolean> {
  const { rows } = await sql`
    insert into bridge_command_use (approval_id, command_id, used_at)
    values (${use.approvalId}, ${use.commandId}, ${use.now})
    on conflict (approval_id) do nothing
    returning approval_id`.execute(tx.as());
  return rows.length > 0;
}
