import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { CoderBuilds, Existence } from './coder-builds.ts';
import { deleteWorkspaceRows, noteCheck, quietWorkspaces, type QuietWorkspace } from './forget-store.ts';

export interface ForgetParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly builds: Pick<CoderBuilds, 'existence'>;
}

/** A workspace is asked about once in this time, and must be missing for as long. */
const hourMs = 3_600_000;
/** Asked about in one round, so that Coder's limit on requests is kept. */
const perRound = 100;

/**
 * Deletes the bridge's registration and token, its commands and the IDE's wish of workspaces that were deleted; their
 * tasks and the audit stay. Answers how many were forgotten.
 *
 * Deleted   Coder says so, or has not known it twice, an hour apart. A token of ours that lost its rights proves nothing.
 * Errors    none while Coder cannot be asked: the round ends, and the next one goes on with the others.
 */
export async function forgetDeletedWorkspaces(parts: ForgetParts): Promise<number> {
  const { database, clock, log } = parts;
  const hourAgo = new Date(clock.now().getTime() - hourMs);
  let forgotten = 0;
  for (const workspace of await quietWorkspaces(database, hourAgo, perRound)) {
    // Before Coder is asked: one that breaks the round must not be the first of the next one too.
    await noteCheck(database, workspace, clock.now());
    const existence = await ask(parts, workspace);
    if (existence === null) break;
    if (isGone(existence, workspace, clock.now())) forgotten += (await forget(parts, workspace, existence)) ? 1 : 0;
    else
      await noteCheck(
        database,
        { ...workspace, missingSince: missingSince(existence, workspace, clock.now()) },
        clock.now(),
      );
  }
  if (forgotten > 0) log.info({ forgotten }, 'forgot workspaces that were deleted');
  return forgotten;
}

async function ask({ builds, log }: ForgetParts, { workspaceId }: QuietWorkspace): Promise<Existence | null> {
  try {
    return await builds.existence(workspaceId, { actor: 'service', requestId: null });
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    log.warn({ error, workspaceId }, 'cannot ask whether a workspace still exists');
    return null;
  }
}

const isGone = (existence: Existence, { missingSince: since }: QuietWorkspace, now: Date): boolean =>
  existence === 'deleted' || (existence === 'missing' && since !== null && now.getTime() - since.getTime() >= hourMs);

/** `unknown` neither begins nor ends an absence. */
const missingSince = (existence: Existence, { missingSince: since }: QuietWorkspace, now: Date): Date | null =>
  ({ there: null, deleted: null, missing: since ?? now, unknown: since })[existence];

async function forget(parts: ForgetParts, { workspaceId }: QuietWorkspace, existence: Existence): Promise<boolean> {
  const { database, audit, clock } = parts;
  return database.transaction(async (tx) => {
    const rows = await deleteWorkspaceRows(tx, workspaceId, new Date(clock.now().getTime() - hourMs));
    if (rows === null) return false;
    await audit.append(tx, {
      actor: 'service',
      action: 'workspace.forgotten',
      target: { type: 'workspace', id: workspaceId },
      outcome: 'success',
      ...rows,
      workspaceId,
      data: { existence },
    });
    return true;
  });
}
