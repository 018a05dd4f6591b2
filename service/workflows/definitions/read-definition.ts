import type { Database } from '../../platform/database.ts';
import { notFound } from '../../platform/errors.ts';
import type { WorkflowBody } from '../submit-workflow.ts';
import { findDefinition, readVersion, type DefinitionRecord, type VersionRecord } from './definition-store.ts';
import { bodyOf, type Parameters } from './definition.ts';

export interface Wanted {
  readonly organizationId: string;
  readonly name: string;
  /** @default the current one */
  readonly version?: number | undefined;
}

/** A definition with one of its versions. Throws `not_found`. */
export async function findVersion(
  database: Pick<Database, 'as'>,
  { organizationId, name, version }: Wanted,
): Promise<{ readonly definition: DefinitionRecord; readonly version: VersionRecord }> {
  const definition = await findDefinition(database, organizationId, name);
  if (!definition) throw notFound(`Definition '${name}'`);
  const found = await readVersion(database, definition.id, version ?? definition.version);
  if (!found) throw notFound(`Version ${version ?? definition.version} of definition '${name}'`);
  return { definition, version: found };
}

/**
 * What a definition would run: a workflow body with its parameters filled in, and the version it comes from.
 *
 * Errors  `not_found`; `unprocessable` for a parameter that the definition does not have, or lacks.
 */
export async function readDefinition(
  database: Pick<Database, 'as'>,
  wanted: Wanted & { readonly parameters?: Parameters; readonly workspaceId?: string | undefined },
): Promise<{ readonly name: string; readonly version: number; readonly body: WorkflowBody }> {
  const { version } = await findVersion(database, wanted);
  const body = bodyOf(wanted.name, version.spec, wanted.parameters ?? {}, wanted.workspaceId);
  return { name: wanted.name, version: version.version, body };
}
