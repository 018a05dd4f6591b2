import { sql } from 'kysely';
import type { HarnessParts } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';

/** What a bridge said last of its harness, and when. */
export interface StoredParts {
  readonly parts: HarnessParts;
  readonly reportedAt: Date;
}

/** Keeps the newer report of the two. */
export async function saveHarnessParts(
  database: Pick<Database, 'as'>,
  workspaceId: string,
  { parts, reportedAt }: StoredParts,
): Promise<void> {
  await sql`
    insert into harness_parts (workspace_id, parts, reported_at)
    values (${workspaceId}, ${JSON.stringify(parts)}::jsonb, ${reportedAt})
    on conflict (workspace_id) do update set parts = excluded.parts, reported_at = excluded.reported_at
     where harness_parts.reported_at <= excluded.reported_at`.execute(database.as());
}

/** Null where none ever said anything. */
export async function readHarnessParts(
  database: Pick<Database, 'as'>,
  workspaceId: string,
): Promise<StoredParts | null> {
  const { rows } = await sql<{ parts: HarnessParts; reported_at: Date }>`
    select parts, reported_at from harness_parts where workspace_id = ${workspaceId}`.execute(database.as());
  const [row] = rows;
  return row ? { parts: row.parts, reportedAt: row.reported_at } : null;
}

export async function forgetHarnessParts(tx: Transaction, workspaceId: string): Promise<void> {
  await sql`delete from harness_parts where workspace_id = ${workspaceId}`.execute(tx.as());
}

/** The newest registration of a workspace. `generation` grows with each, on every replica at once. */
export interface Registration {
  readonly generation: number;
  readonly connected: boolean;
  readonly harnessVersion: string;
  readonly capabilities: readonly string[];
}

/** Null where no bridge ever registered. */
export async function readRegistration(
  database: Pick<Database, 'as'>,
  workspaceId: string,
): Promise<Registration | null> {
  const { rows } = await sql<Registration>`
    select generation, connected, harness_version as "harnessVersion", capabilities
      from bridge where workspace_id = ${workspaceId}`.execute(database.as());
  return rows[0] ?? null;
}
