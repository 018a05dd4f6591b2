import { sql } from 'kysely';
import type { CallContext, Coder } from '../coder/coder.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { TaskRecord } from './task.ts';

/** A workspace that the service started for a task, and that no task has used for as long as its limits say. */
export interface IdleStart {
  readonly workspaceId: string;
  readonly organizationId: string;
  /** The build that the service asked for. Any later one is somebody else's. */
  readonly buildId: string;
  /** As its admin wrote it, e.g. `30m`. */
  readonly idleTimeout: string;
  readonly idleMs: number;
  /** When its last task ended, or when it was started. */
  readonly idleSince: Date;
}

export interface StartParts {
  readonly database: Database;
  readonly coder: Pick<Coder, 'ensureRunning' | 'readWorkspace'>;
  readonly clock: Clock;
}

/** Longer than a stop takes to reach Coder: a claim that is older was left by a process that died. */
const claimMs = 120_000;

/** `Coder.ensureRunning` for a task, remembered where it starts the workspace. Waits out a stop of ours. */
export async function ensureStarted(
  parts: StartParts,
  task: TaskRecord,
  context: CallContext,
): ReturnType<Coder['ensureRunning']> {
  if (await isBeingStopped(parts, task.workspaceId, context)) return 'starting';
  return parts.coder.ensureRunning(task.workspaceId, context, (buildId) =>
    noteStart(parts.database, task, buildId, parts.clock.now()),
  );
}

async function isBeingStopped(
  { database, coder, clock }: StartParts,
  workspaceId: string,
  context: CallContext,
): Promise<boolean> {
  // The lock waits for a claim that is being made; one that comes later sees the task.
  const { rows } = await sql<{ build_id: string; stopping_since: Date | null }>`
    select build_id, stopping_since from workspace_start where workspace_id = ${workspaceId} for share`.execute(
    database.as<unknown>(),
  );
  const [start] = rows;
  if (!start?.stopping_since) return false;
  const workspace = await coder.readWorkspace(workspaceId, context);
  if (workspace?.transition === 'stop') return workspace.status === 'stopping' || workspace.status === 'pending';
  const isClaimed = clock.now().getTime() - start.stopping_since.getTime() < claimMs;
  return isClaimed && workspace?.buildId === start.build_id;
}

async function noteStart(database: Database, task: TaskRecord, buildId: string, now: Date): Promise<void> {
  const { workspaceId, organizationId, agent } = task;
  await sql`
    insert into workspace_start (workspace_id, organization_id, agent, build_id, started_at, look_at)
    values (${workspaceId}, ${organizationId}, ${agent}, ${buildId}, ${now}, ${now})
    on conflict (workspace_id) do update
       set organization_id = excluded.organization_id, agent = excluded.agent, build_id = excluded.build_id,
           started_at = excluded.started_at, look_at = excluded.look_at, stopping_since = null`.execute(
    database.as<unknown>(),
  );
}

interface IdleRow {
  workspace_id: string;
  organization_id: string;
  build_id: string;
  idle_timeout: string;
  idle_ms: number;
  idle_since: Date;
}

/**
 * What no task has used for its `standby.idleTimeout`, and that should be looked at now; longest waiting first.
 *
 * Limits   that of the workspace; where it has none, that of the agent it was started for.
 */
export async function idleStarts(
  database: Pick<Database, 'as'>,
  now: Date,
  { workspaceId = null, limit }: { readonly workspaceId?: string | null; readonly limit: number },
): Promise<readonly IdleStart[]> {
  const { rows } = await sql<IdleRow>`
    with started as (
      select start.*, coalesce(own.idle_timeout, of_agent.idle_timeout) as idle_timeout,
             greatest(start.started_at,
                      (select max(finished_at) from task where workspace_id = start.workspace_id)) as idle_since
        from workspace_start as start
        left join work_limit as own
          on own.organization_id = start.organization_id and own.kind = 'workspace'
         and own.target = start.workspace_id::text
        left join work_limit as of_agent
          on of_agent.organization_id = start.organization_id and of_agent.kind = 'agent'
         and of_agent.target = start.agent
       where (${workspaceId}::uuid is null or start.workspace_id = ${workspaceId}::uuid)
         and start.look_at <= ${now}
         and (start.stopping_since is null or start.stopping_since <= ${new Date(now.getTime() - claimMs)})
         and not exists (select from task where workspace_id = start.workspace_id and finished_at is null)
    )
    select workspace_id, organization_id, build_id, idle_timeout, idle_since,
           (extract(epoch from idle_timeout::interval) * 1000)::float8 as idle_ms
      from started
     where idle_timeout is not null and idle_since + idle_timeout::interval <= ${now}
     order by look_at, workspace_id
     limit ${limit}`.execute(database.as<unknown>());
  return rows.map((row) => ({
    workspaceId: row.workspace_id,
    organizationId: row.organization_id,
    buildId: row.build_id,
    idleTimeout: row.idle_timeout,
    idleMs: row.idle_ms,
    idleSince: row.idle_since,
  }));
}

/** Keeps tasks from counting on the workspace until it was stopped. Null when it is not idle, or somebody else's to stop. */
export async function claimStop(tx: Transaction, workspaceId: string, now: Date): Promise<IdleStart | null> {
  await sql`select from workspace_start where workspace_id = ${workspaceId} for update`.execute(tx.as<unknown>());
  const [start] = await idleStarts(tx, now, { workspaceId, limit: 1 });
  if (!start) return null;
  await sql`
    update workspace_start set stopping_since = ${now} where workspace_id = ${workspaceId}`.execute(tx.as<unknown>());
  return start;
}

/** Gives a claim back: the workspace stays, and is not looked at before `lookAt`. */
export async function releaseStop(
  database: Pick<Database, 'as'>,
  { workspaceId, buildId }: IdleStart,
  lookAt: Date,
): Promise<void> {
  await sql`
    update workspace_start set stopping_since = null, look_at = ${lookAt}
     where workspace_id = ${workspaceId} and build_id = ${buildId}`.execute(database.as<unknown>());
}

/** It is not ours to stop any more. Without a build, whichever it was. */
export async function forgetStart(
  database: Pick<Database, 'as'>,
  workspaceId: string,
  buildId: string | null = null,
): Promise<void> {
  await sql`
    delete from workspace_start
     where workspace_id = ${workspaceId} and (${buildId}::uuid is null or build_id = ${buildId}::uuid)`.execute(
    database.as<unknown>(),
  );
}
