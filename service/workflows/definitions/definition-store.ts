import { sql } from 'kysely';
import type { Database, Transaction } from '../../platform/database.ts';
import type { DefinitionSpec } from './definition.ts';

export interface DefinitionRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
  /** Who made the first version; only they and admins change it. */
  readonly authorId: string;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface VersionRecord {
  readonly version: number;
  readonly spec: DefinitionSpec;
  readonly contentHash: string;
  readonly createdAt: Date;
  readonly createdBy: string;
  /** The version that a rollback took it from. */
  readonly restoredFrom: number | null;
}

interface Tables {
  workflow_definition: {
    id: string;
    organization_id: string;
    name: string;
    author_id: string;
    version: number;
    created_at: Date;
    updated_at: Date;
  };
  workflow_definition_version: {
    definition_id: string;
    version: number;
    spec: unknown;
    content_hash: string;
    created_at: Date;
    created_by: string;
    restored_from: number | null;
  };
}

type Readable = Pick<Database, 'as'>;

/** Makes the row of a definition unless it is there; holds it, either way, until the transaction ends. */
export async function lockDefinition(
  tx: Transaction,
  fresh: Omit<DefinitionRecord, 'version' | 'createdAt' | 'updatedAt'> & { readonly now: Date },
): Promise<DefinitionRecord> {
  const { organizationId, name, now } = fresh;
  const row = { id: fresh.id, organization_id: organizationId, name, author_id: fresh.authorId, version: 0 };
  await tx
    .as<Tables>()
    .insertInto('workflow_definition')
    .values({ ...row, created_at: now, updated_at: now })
    .onConflict((conflict) => conflict.columns(['organization_id', 'name']).doNothing())
    .execute();
  const found = await findDefinition(tx, organizationId, name, true);
  if (!found) throw new Error('a definition was deleted while it was being written');
  return found;
}

export async function findDefinition(
  database: Readable,
  organizationId: string,
  name: string,
  lock = false,
): Promise<DefinitionRecord | null> {
  const query = database
    .as<Tables>()
    .selectFrom('workflow_definition')
    .selectAll()
    .where((where) => where.and({ organization_id: organizationId, name }));
  const row = await (lock ? query.forUpdate() : query).executeTakeFirst();
  return row ? asDefinition(row) : null;
}

const asDefinition = (row: Tables['workflow_definition']): DefinitionRecord => ({
  id: row.id,
  organizationId: row.organization_id,
  name: row.name,
  authorId: row.author_id,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** Adds the next version and makes it the current one. */
export async function addVersion(tx: Transaction, definitionId: string, version: VersionRecord): Promise<void> {
  await tx
    .as<Tables>()
    .insertInto('workflow_definition_version')
    .values({
      definition_id: definitionId,
      version: version.version,
      spec: JSON.stringify(version.spec),
      content_hash: version.contentHash,
      created_at: version.createdAt,
      created_by: version.createdBy,
      restored_from: version.restoredFrom,
    })
    .execute();
  await tx
    .as<Tables>()
    .updateTable('workflow_definition')
    .set({ version: version.version, updated_at: version.createdAt })
    .where('id', '=', definitionId)
    .execute();
}

export async function readVersion(
  database: Readable,
  definitionId: string,
  version: number,
): Promise<VersionRecord | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('workflow_definition_version')
    .selectAll()
    .where((where) => where.and({ definition_id: definitionId, version }))
    .executeTakeFirst();
  return row ? asVersion(row) : null;
}

const asVersion = (row: Tables['workflow_definition_version']): VersionRecord => ({
  version: row.version,
  spec: row.spec as DefinitionSpec,
  contentHash: row.content_hash,
  createdAt: row.created_at,
  createdBy: row.created_by,
  restoredFrom: row.restored_from,
});

/** Versions of a definition, the newest first; `before` goes on where a page ended. */
export async function listVersions(
  database: Readable,
  definitionId: string,
  { limit, before }: { limit: number; before?: number | undefined },
): Promise<readonly VersionRecord[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow_definition_version')
    .selectAll()
    .where('definition_id', '=', definitionId)
    .orderBy('version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('version', '<', before);
  return (await query.execute()).map(asVersion);
}

/** A definition with what a list shows of its current version. */
export interface ListedDefinition extends DefinitionRecord {
  readonly description: string | null;
  readonly parameters: DefinitionSpec['parameters'];
}

/** Definitions of an organization, the newest first. Their steps, which may be megabytes, are not read. */
export async function listDefinitions(
  database: Readable,
  filter: { organizationId: string; limit: number; cursor?: string | undefined },
): Promise<readonly ListedDefinition[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow_definition as one')
    .innerJoin('workflow_definition_version as current', (join) =>
      join.onRef('current.definition_id', '=', 'one.id').onRef('current.version', '=', 'one.version'),
    )
    .selectAll('one')
    .select([
      sql<string | null>`current.spec->>'description'`.as('description'),
      sql<DefinitionSpec['parameters'] | null>`current.spec->'parameters'`.as('parameters'),
    ])
    .where('one.organization_id', '=', filter.organizationId)
    .orderBy('one.id', 'desc')
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where('one.id', '<', filter.cursor);
  return (await query.execute()).map((row) => ({
    ...asDefinition(row),
    description: row.description,
    parameters: row.parameters ?? undefined,
  }));
}

/** Deletes a definition with every version. */
export async function deleteDefinition(tx: Transaction, id: string): Promise<void> {
  await tx.as<Tables>().deleteFrom('workflow_definition').where('id', '=', id).execute();
}
