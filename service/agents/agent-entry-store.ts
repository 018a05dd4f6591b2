import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import type { AgentEntry, AgentSpec } from './agent-entry.ts';

interface Tables {
  agent_entry: {
    organization_id: string;
    name: string;
    spec: unknown;
    created_at: Date;
    updated_at: Date;
    updated_by: string;
  };
}

export async function saveEntry(
  tx: Transaction,
  entry: Pick<AgentEntry, 'organizationId' | 'name' | 'spec' | 'updatedAt' | 'updatedBy'>,
): Promise<void> {
  const changed = { spec: storableJson(entry.spec), updated_at: entry.updatedAt, updated_by: entry.updatedBy };
  await tx
    .as<Tables>()
    .insertInto('agent_entry')
    .values({
      organization_id: entry.organizationId,
      name: entry.name,
      created_at: entry.updatedAt,
      ...changed,
    })
    .onConflict((conflict) => conflict.columns(['organization_id', 'name']).doUpdateSet(changed))
    .execute();
}

/** False when there was none. */
export async function deleteEntry(tx: Transaction, organizationId: string, name: string): Promise<boolean> {
  const gone = await tx
    .as<Tables>()
    .deleteFrom('agent_entry')
    .where('organization_id', '=', organizationId)
    .where('name', '=', name)
    .executeTakeFirst();
  return gone.numDeletedRows > 0n;
}

/** All entries of an organization, by name. */
export async function entriesOf(
  database: Pick<Database, 'as'>,
  organizationId: string,
): Promise<readonly AgentEntry[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('agent_entry')
    .selectAll()
    .where('organization_id', '=', organizationId)
    .orderBy('name')
    .execute();
  return rows.map((row) => ({
    organizationId: row.organization_id,
    name: row.name,
    spec: row.spec as AgentSpec,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    updatedBy: row.updated_by,
  }));
}
