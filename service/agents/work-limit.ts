import { z } from 'zod';
import { sql } from 'kysely';
import type { Database, Transaction } from '../platform/database.ts';
import { goDurationText, secondsOfGoDuration } from '../platform/go-duration.ts';

/** What a limit holds for: an agent throughout its organization, or one workspace. */
export const limitKinds = ['agent', 'workspace'] as const;
export type LimitKind = (typeof limitKinds)[number];

const idleSeconds = { least: 60, most: 30 * 86_400 };
const idleTimeout = goDurationText.refine(
  (text) => {
    const seconds = secondsOfGoDuration(text);
    return seconds >= idleSeconds.least && seconds <= idleSeconds.most;
  },
  { message: 'must be at least 1m and at most 720h, for example 30m' },
);

const whole = (most: number) => z.number().int().min(0).max(most);

/** Body of a limit, in the words of kubeopencode's `Agent`. What is left out is not limited. */
export const limitBody = z
  .strictObject({
    maxConcurrentTasks: whole(10_000).optional(),
    quota: z
      .strictObject({
        maxTaskStarts: whole(1_000_000),
        windowSeconds: z
          .number()
          .int()
          .min(1)
          .max(30 * 86_400),
      })
      .optional(),
    /** How long a workspace that the service started is left unused before it is stopped. */
    standby: z.strictObject({ idleTimeout }).optional(),
  })
  .refine((body) => Object.values(body).some((one) => one !== undefined), {
    message: 'limits nothing; give maxConcurrentTasks, quota, standby or some of them, or delete the limit',
  });
export type LimitBody = z.output<typeof limitBody>;

/** `target` is the name of an agent or the id of a workspace. */
export interface LimitKey {
  readonly organizationId: string;
  readonly kind: LimitKind;
  readonly target: string;
}

export interface WorkLimit extends LimitKey {
  readonly body: LimitBody;
}

interface Row {
  organization_id: string;
  kind: LimitKind;
  target: string;
  max_concurrent: number | null;
  max_task_starts: number | null;
  window_seconds: number | null;
  idle_timeout: string | null;
}

export async function saveLimit(tx: Transaction, { organizationId, kind, target, body }: WorkLimit): Promise<void> {
  const { maxConcurrentTasks = null, quota, standby } = body;
  await sql`
    insert into work_limit (organization_id, kind, target, max_concurrent, max_task_starts, window_seconds, idle_timeout)
    values (${organizationId}, ${kind}, ${target}, ${maxConcurrentTasks},
            ${quota?.maxTaskStarts ?? null}, ${quota?.windowSeconds ?? null}, ${standby?.idleTimeout ?? null})
    on conflict (organization_id, kind, target) do update
       set max_concurrent = excluded.max_concurrent, max_task_starts = excluded.max_task_starts,
           window_seconds = excluded.window_seconds, idle_timeout = excluded.idle_timeout`.execute(tx.as<unknown>());
}

/** False when there was none. */
export async function deleteLimit(tx: Transaction, { organizationId, kind, target }: LimitKey): Promise<boolean> {
  const { numAffectedRows } = await sql`
    delete from work_limit
     where organization_id = ${organizationId} and kind = ${kind} and target = ${target}`.execute(tx.as<unknown>());
  return (numAffectedRows ?? 0n) > 0n;
}

/** The limits of an organization: agents first, then workspaces, by name. */
export async function limitsOf(database: Pick<Database, 'as'>, organizationId: string): Promise<readonly WorkLimit[]> {
  const { rows } = await sql<Row>`
    select * from work_limit where organization_id = ${organizationId} order by kind, target`.execute(
    database.as<unknown>(),
  );
  return rows.map((row) => ({
    organizationId: row.organization_id,
    kind: row.kind,
    target: row.target,
    body: {
      ...(row.max_concurrent === null ? {} : { maxConcurrentTasks: row.max_concurrent }),
      ...(row.max_task_starts === null || row.window_seconds === null
        ? {}
        : { quota: { maxTaskStarts: row.max_task_starts, windowSeconds: row.window_seconds } }),
      ...(row.idle_timeout === null ? {} : { standby: { idleTimeout: row.idle_timeout } }),
    },
  }));
}
