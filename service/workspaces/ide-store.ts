import { ideStatePhases, type IdeReport } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { unknownIde, type IdeRecord } from './ide.ts';

interface Tables {
  workspace_ide: {
    workspace_id: string;
    wanted: boolean | null;
    wanted_at: Date | null;
    reported_enabled: boolean | null;
    reported_phase: string | null;
    reported_message: string;
    reported_at: Date | null;
    repairs: number;
    repair_at: Date | null;
    recreating_from: number | null;
    recreating_since: Date | null;
  };
}

type Row = Tables['workspace_ide'];

const toRecord = (row: Row): IdeRecord => ({
  workspaceId: row.workspace_id,
  wanted: row.wanted,
  reported: {
    enabled: row.reported_enabled,
    phase: ideStatePhases.find((phase) => phase === row.reported_phase) ?? null,
    message: row.reported_message,
  },
  repairs: row.repairs,
  repairAt: row.repair_at,
  recreation:
    row.recreating_from === null || row.recreating_since === null
      ? null
      : { replaces: row.recreating_from, since: row.recreating_since },
});

/** What is known of a workspace's IDE; where nothing is, that. */
export async function readIde(database: Pick<Database, 'as'>, workspaceId: string): Promise<IdeRecord> {
  const row = await database
    .as<Tables>()
    .selectFrom('workspace_ide')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .executeTakeFirst();
  return row ? toRecord(row) : unknownIde(workspaceId);
}

/** The same, held until the transaction ends; the row is made where there was none. */
export async function lockIde(tx: Transaction, workspaceId: string): Promise<IdeRecord> {
  const table = tx.as<Tables>();
  await table
    .insertInto('workspace_ide')
    .values({ workspace_id: workspaceId } as Row)
    .onConflict((conflict) => conflict.column('workspace_id').doNothing())
    .execute();
  const row = await table
    .selectFrom('workspace_ide')
    .selectAll()
    .where('workspace_id', '=', workspaceId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return toRecord(row);
}

const change = (tx: Transaction, workspaceId: string, values: Partial<Row>): Promise<unknown> =>
  tx.as<Tables>().updateTable('workspace_ide').set(values).where('workspace_id', '=', workspaceId).execute();

export const saveWish = (tx: Transaction, workspaceId: string, wanted: boolean, now: Date): Promise<unknown> =>
  change(tx, workspaceId, { wanted, wanted_at: now });

export const saveReport = (tx: Transaction, workspaceId: string, report: IdeReport, now: Date): Promise<unknown> =>
  change(tx, workspaceId, {
    reported_enabled: report.enabled,
    reported_phase: report.phase,
    reported_message: report.message,
    reported_at: now,
  });

export const saveRepairs = (
  tx: Transaction,
  workspaceId: string,
  repairs: number,
  repairAt: Date | null,
): Promise<unknown> => change(tx, workspaceId, { repairs, repair_at: repairAt });

export const saveRecreation = (
  tx: Transaction,
  workspaceId: string,
  recreation: IdeRecord['recreation'],
): Promise<unknown> =>
  change(tx, workspaceId, {
    recreating_from: recreation?.replaces ?? null,
    recreating_since: recreation?.since ?? null,
  });
