import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import { canonicalJson } from '../platform/canonical.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { parse, pathParameter, type Route, listAnswer } from '../platform/http.ts';
import { storableJson } from '../platform/storable.ts';
import { organizationAsked, organizationQuery } from '../secrets/organization-admin.ts';
import { agentName, manifestOf, readManifest, type AgentEntry, type AgentSpec } from './agent-entry.ts';
import { entriesOf, saveEntry } from './agent-entry-store.ts';
import { entryVersion } from './entry-shape.ts';

export interface EntryVersion {
  readonly version: number;
  readonly spec: AgentSpec;
  readonly createdAt: Date;
  readonly createdBy: string;
  /** The version that a rollback took it from. */
  readonly restoredFrom: number | null;
}

interface Tables {
  agent_entry_version: {
    organization_id: string;
    name: string;
    version: number;
    spec: unknown;
    created_at: Date;
    created_by: string;
    restored_from: number | null;
  };
}

export type Change = 'created' | 'changed' | 'unchanged';
type NewEntry = Pick<AgentEntry, 'organizationId' | 'name' | 'spec' | 'updatedAt' | 'updatedBy'>;

/** Writes an entry and its next version, unless it says the same already. Versions outlive the entry. */
export async function saveVersionedEntry(
  tx: Transaction,
  entry: NewEntry,
  restoredFrom: number | null = null,
): Promise<{ readonly change: Change; readonly version: number }> {
  const { organizationId, name } = entry;
  const before = await foreseeChange(tx, entry);
  const [newest] = await versionsOf(tx, organizationId, name, 1);
  if (before === 'unchanged' && newest) return { change: 'unchanged', version: newest.version };
  // Holds the entry's row, so that two writers do not take the same number.
  await saveEntry(tx, entry);
  const version = ((await versionsOf(tx, organizationId, name, 1))[0]?.version ?? 0) + 1;
  await tx
    .as<Tables>()
    .insertInto('agent_entry_version')
    .values({
      organization_id: organizationId,
      name,
      version,
      spec: storableJson(entry.spec),
      created_at: entry.updatedAt,
      created_by: entry.updatedBy,
      restored_from: restoredFrom,
    })
    .execute();
  return { change: before, version };
}

/** What writing an entry would do. */
export async function foreseeChange(
  database: Pick<Database, 'as'>,
  { organizationId, name, spec }: Pick<NewEntry, 'organizationId' | 'name' | 'spec'>,
): Promise<Change> {
  const current = (await entriesOf(database, organizationId)).find((one) => one.name === name);
  if (!current) return 'created';
  return canonicalJson(current.spec) === canonicalJson(spec) ? 'unchanged' : 'changed';
}

/** The newest versions of an entry, newest first. */
export async function versionsOf(
  database: Pick<Database, 'as'>,
  organizationId: string,
  name: string,
  limit: number,
  before?: number,
): Promise<readonly EntryVersion[]> {
  let query = database
    .as<Tables>()
    .selectFrom('agent_entry_version')
    .selectAll()
    .where((where) => where.and({ organization_id: organizationId, name }))
    .orderBy('version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('version', '<', before);
  const rows = await query.execute();
  return rows.map((row) => ({
    version: row.version,
    spec: row.spec as AgentSpec,
    createdAt: row.created_at,
    createdBy: row.created_by,
    restoredFrom: row.restored_from,
  }));
}

/** What an earlier version says, checked as if it were written now. Throws `not_found`. */
export async function earlierSpec(
  database: Pick<Database, 'as'>,
  organizationId: string,
  name: string,
  version: number,
): Promise<AgentSpec> {
  const [found] = await versionsOf(database, organizationId, name, 1, version + 1);
  if (found?.version !== version) throw notFound(`Version ${version} of agent '${name}'`);
  return readManifest(JSON.stringify(manifestOf(name, found.spec)), name);
}

export const rollbackBody = z.strictObject({ to: z.number().int().min(1) });

const query = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.coerce.number().int().min(1).optional(),
});

/** `GET …/registry/{name}/versions`, for members of the organization. */
export const entryVersionsRoute = (parts: { readonly database: Database }): Route => ({
  method: 'get',
  path: '/api/v2/agents/registry/:name/versions',
  guard: 'user',
  summary: 'Lists what an agent of the organization used over time, newest first.',
  shape: { query: query.extend(organizationQuery.shape), answers: { 200: listAnswer(entryVersion) } },
  handler: async (request: Request, response: Response) => {
    const { limit, cursor } = parse(query, request.query, 'The query');
    const name = agentName(pathParameter(request, 'name'));
    const organizationId = organizationAsked(request, response);
    const { organizationIds } = response.locals['actor'] as Actor;
    const found = organizationIds.includes(organizationId)
      ? await versionsOf(parts.database, organizationId, name, limit, cursor)
      : [];
    if (found.length === 0 && cursor === undefined) throw notFound(`Agent '${name}'`);
    const items = found.map((one) => ({
      version: one.version,
      spec: one.spec,
      created_at: one.createdAt.toISOString(),
      created_by: one.createdBy,
      restored_from: one.restoredFrom,
    }));
    const next = items.length === limit ? String(items.at(-1)?.version ?? '') : null;
    response.json({ items, next_cursor: next });
  },
});
