import { sql } from 'kysely';
import { forgetBridge } from '../bridge/bridge-store.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { forgetStart } from '../tasks/workspace-start.ts';

interface Tables {
  workspace_check: { workspace_id: string; checked_at: Date; missing_since: Date | null };
}

/** A workspace of which there are rows, and that nothing was heard of for a while. */
export interface QuietWorkspace {
  readonly workspaceId: string;
  /** Since when Coder does not know it; null when it did, or was never asked. */
  readonly missingSince: Date | null;
}

/** Those that were last asked about before `since`, longest ago first. A bridge that was heard since then is proof enough. */
export async function quietWorkspaces(
  database: Pick<Database, 'as'>,
  since: Date,
  limit: number,
): Promise<readonly QuietWorkspace[]> {
  const { rows } = await sql<{ workspace_id: string; missing_since: Date | null }>`
    select known.workspace_id, seen.missing_since
    from (select workspace_id from bridge union select workspace_id from workspace_ide) known
    left join bridge on bridge.workspace_id = known.workspace_id
    left join workspace_check seen on seen.workspace_id = known.workspace_id
    where (bridge.last_seen_at is null or bridge.last_seen_at <= ${since})
      and (seen.checked_at is null or seen.checked_at <= ${since})
    order by seen.checked_at nulls first, known.workspace_id
    limit ${limit}`.execute(database.as());
  return rows.map((row) => ({ workspaceId: row.workspace_id, missingSince: row.missing_since }));
}

export async function noteCheck(
  database: Pick<Database, 'as'>,
  { workspaceId, missingSince }: QuietWorkspace,
  now: Date,
): Promise<void> {
  const values = { checked_at: now, missing_since: missingSince };
  await database
    .as<Tables>()
    .insertInto('workspace_check')
    .values({ workspace_id: workspaceId, ...values })
    .onConflict((conflict) => conflict.column('workspace_id').doUpdateSet(values))
    .execute();
}

/** Whom the rows belonged to; both null where no bridge ever registered. */
export interface Forgotten {
  readonly ownerId: string | null;
  readonly organizationId: string | null;
}

/**
 * Deletes what is kept for a workspace: its registration with the hash of its token, its commands, its IDE. Null, and
 * nothing is deleted, when its bridge was heard after `since`.
 */
export async function deleteWorkspaceRows(
  tx: Transaction,
  workspaceId: string,
  since: Date,
): Promise<Forgotten | null> {
  const bridge = await forgetBridge(tx, workspaceId, since);
  if (bridge === 'heard') return null;
  await forgetStart(tx, workspaceId);
  await sql`delete from workspace_ide where workspace_id = ${workspaceId}`.execute(tx.as());
  await sql`delete from workspace_check where workspace_id = ${workspaceId}`.execute(tx.as());
  return bridge ?? { ownerId: null, organizationId: null };
}
