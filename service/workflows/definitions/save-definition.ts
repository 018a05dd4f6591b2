import type { AuditLog } from '../../audit/audit-log.ts';
import type { CoderWorkspace } from '../../coder/workspace.ts';
import { canonicalHash } from '../../platform/canonical.ts';
import { uuidv7, type Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database.ts';
import { notFound, ServiceError } from '../../platform/errors.ts';
import type { WorkBounds } from '../../tasks/work-bounds.ts';
import { checkWorkflowIn } from '../submit-workflow.ts';
import { addVersion, findDefinition, lockDefinition, readVersion } from './definition-store.ts';
import { bodyOf, placeholders, type DefinitionSpec } from './definition.ts';

export type Change = 'created' | 'changed' | 'unchanged';

/** Who changes which definition. */
export interface Writer {
  readonly organizationId: string;
  readonly name: string;
  readonly userId: string;
  /** Administers the organization, and so may change what others wrote. */
  readonly isAdmin: boolean;
  readonly requestId: string;
}

export interface SaveParts {
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
}

/** Where a definition is checked that is tied to no workspace: only what holds everywhere is asked. */
const anywhere: CoderWorkspace = {
  id: '',
  name: '',
  ownerId: '',
  ownerName: '',
  organizationId: '',
  organizationName: '',
  templateName: '',
  status: '',
  transition: '',
  jobStatus: '',
  buildId: '',
  templateVersionId: '',
  agents: [],
};

/**
 * Checks graph (400), agents, actions and their params (422). What is allowed, of models and profiles, is for whoever
 * runs it, where they run it.
 */
export async function checkDefinition(limits: WorkBounds, name: string, spec: DefinitionSpec): Promise<void> {
  const bounds: WorkBounds = { ...limits, allowedModels: null, maxProfile: 'trusted' };
  const body = bodyOf(name, spec, placeholders(spec));
  await checkWorkflowIn({ bounds }, () => Promise.resolve({ workspace: anywhere, bounds }), body);
}

/** Makes the next version of a definition and its audit event, unless the current one means the same. */
export async function saveDefinition(
  tx: Transaction,
  parts: SaveParts,
  writer: Writer,
  spec: DefinitionSpec,
  restoredFrom: number | null = null,
): Promise<Change> {
  const { organizationId, name, userId } = writer;
  const now = parts.clock.now();
  const fresh = { id: uuidv7(parts.clock), organizationId, name, authorId: userId, now };
  const definition = await lockDefinition(tx, fresh);
  if (definition.authorId !== userId && !writer.isAdmin) throw mustBeAuthor(name);
  const hash = canonicalHash(spec);
  const current = await readVersion(tx, definition.id, definition.version);
  if (current?.contentHash === hash) return 'unchanged';
  const version = definition.version + 1;
  const createdBy = `user:${userId}`;
  await addVersion(tx, definition.id, { version, spec, contentHash: hash, createdAt: now, createdBy, restoredFrom });
  await parts.audit.append(tx, {
    ...audited(writer, 'definition.written'),
    data: { version, restored_from: restoredFrom },
  });
  return version === 1 ? 'created' : 'changed';
}

/** What saving a definition would do. */
export async function foreseeChange(
  database: Pick<Database, 'as'>,
  { organizationId, name }: Writer,
  spec: DefinitionSpec,
): Promise<Change> {
  const definition = await findDefinition(database, organizationId, name);
  if (!definition) return 'created';
  const current = await readVersion(database, definition.id, definition.version);
  return current?.contentHash === canonicalHash(spec) ? 'unchanged' : 'changed';
}

/** Brings back an earlier version as the newest. Throws `not_found` where there is no such version. */
export async function rollBackDefinition(
  tx: Transaction,
  parts: SaveParts,
  writer: Writer,
  to: number,
): Promise<Change> {
  const definition = await findDefinition(tx, writer.organizationId, writer.name, true);
  const earlier = definition && (await readVersion(tx, definition.id, to));
  if (!earlier) throw notFound(`Version ${to} of definition '${writer.name}'`);
  return saveDefinition(tx, parts, writer, earlier.spec, to);
}

/** What every audit event about a definition says. */
export const audited = ({ organizationId, name, userId, requestId }: Writer, action: string) => ({
  actor: `user:${userId}`,
  action,
  target: { type: 'definition', id: name },
  outcome: 'success' as const,
  ownerId: userId,
  organizationId,
  requestId,
});

export const mustBeAuthor = (name: string): ServiceError =>
  new ServiceError(
    'forbidden',
    'definition_author_required',
    `Definition '${name}' is somebody else's. Ask its author or an organization admin, or store yours under another name.`,
  );
