import type { AuditLog } from '../audit/audit-log.ts';
import type { Coder, CoderWorkspace } from '../coder/coder.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { claimStop, forgetStart, idleStarts, releaseStop, type IdleStart } from '../tasks/workspace-start.ts';
import type { CoderBuilds } from './coder-builds.ts';

export interface StandbyParts {
  readonly database: Database;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly coder: Pick<Coder, 'readWorkspace'>;
  readonly builds: Pick<CoderBuilds, 'stop'>;
}

/** Looked at in one round, so that Coder's limit on requests is kept. */
const perRound = 50;
const context = { actor: 'service', requestId: null };

/**
 * Stops the workspaces that the service started for a task and that nothing has used for their `standby.idleTimeout`.
 * A new task starts them again. Answers how many it stopped. Safe to run in many processes at once.
 *
 * Used     by a task, or by a person as Coder tells it in `last_used_at`: the IDE, a terminal, an app.
 * Safety   a workspace whose latest build is not the service's own is never stopped.
 * Errors   none while Coder cannot be asked: the round ends, and the next one goes on.
 */
export async function stopIdleWorkspaces(parts: StandbyParts): Promise<number> {
  const { database, clock, log } = parts;
  let stopped = 0;
  for (const { workspaceId } of await idleStarts(database, clock.now(), { limit: perRound })) {
    const start = await database.transaction((tx) => claimStop(tx, workspaceId, clock.now()));
    if (start === null) continue;
    try {
      if (await stopIfUnused(parts, start)) stopped += 1;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      log.warn({ error, workspaceId }, 'cannot stop an idle workspace');
      // Nobody knows whether Coder took it: the claim holds until a later round has looked.
      if (error.kind === 'unavailable') break;
      await releaseStop(database, start, after(clock.now(), start.idleMs));
    }
  }
  if (stopped > 0) log.info({ stopped }, 'stopped idle workspaces');
  return stopped;
}

async function stopIfUnused(parts: StandbyParts, start: IdleStart): Promise<boolean> {
  const { database, clock, coder, builds } = parts;
  const workspace = await coder.readWorkspace(start.workspaceId, context);
  const verdict = judge(workspace, start, clock.now());
  if (verdict === 'stopping') return false;
  if (verdict === 'forget') {
    await forgetStart(database, start.workspaceId, start.buildId);
    return false;
  }
  if (verdict !== 'stop') {
    await releaseStop(database, start, verdict.lookAt);
    return false;
  }
  const buildId = await builds.stop(start.workspaceId, context);
  await database.transaction((tx) =>
    parts.audit.append(tx, {
      actor: 'service',
      action: 'workspace.stopped',
      target: { type: 'workspace', id: start.workspaceId },
      outcome: 'success',
      ownerId: workspace?.ownerId ?? null,
      organizationId: start.organizationId,
      workspaceId: start.workspaceId,
      data: { build_id: buildId, idle_timeout: start.idleTimeout, idle_since: start.idleSince.toISOString() },
    }),
  );
  return true;
}

/** `stopping`: a claim that stays. `forget`: not ours. `lookAt`: not before then. */
type Verdict = 'stop' | 'stopping' | 'forget' | { readonly lookAt: Date };

function judge(workspace: CoderWorkspace | null, start: IdleStart, now: Date): Verdict {
  if (workspace === null) return 'forget';
  const { status, transition, buildId, lastUsedAt } = workspace;
  if (buildId !== start.buildId) {
    const isStopping = transition === 'stop' && (status === 'stopping' || status === 'pending');
    return isStopping ? 'stopping' : 'forget';
  }
  const usedMs = Date.parse(lastUsedAt ?? '');
  // Where Coder does not say when it was used, it may be in use.
  if (status !== 'running' || Number.isNaN(usedMs)) return { lookAt: after(now, start.idleMs) };
  const unusedFrom = after(new Date(usedMs), start.idleMs);
  return unusedFrom <= now ? 'stop' : { lookAt: unusedFrom };
}

const after = (time: Date, ms: number): Date => new Date(time.getTime() + ms);
