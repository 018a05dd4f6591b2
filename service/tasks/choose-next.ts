import { sql, type RawBuilder } from 'kysely';
import { serviceAgents } from '../agents/actions.ts';

export interface Admitted {
  readonly id: string;
  readonly attempt: number;
  readonly workspace_id: string;
  readonly agent: string;
  readonly model: string;
  readonly trace_parent: string | null;
}

export interface ChooseOptions {
  /** Attempts that may hold a place in one workspace at once; for agents of the service as many again, and for workflows. */
  readonly perWorkspace: number;
  /** Most workspaces served in one statement. */
  readonly batchSize: number;
  readonly now: Date;
  /** Writes anew on every task why it waits, and not only on those of which nothing is said yet. */
  readonly tellAll: boolean;
}

/** Whether the limit `one` holds for a row of `table`. */
const isFor = (table: string): RawBuilder<unknown> => {
  const row = sql.ref(table);
  return sql`one.organization_id = ${row}.organization_id
    and one.target = case one.kind when 'agent' then ${row}.agent else ${row}.workspace_id::text end`;
};

/** It waits for other tasks in its workspace, which need the places there: it takes none, and waits for none. */
const takesNone = (table: string): RawBuilder<unknown> =>
  sql`(one.kind = 'workspace' and ${sql.ref(table)}.agent = 'agentzero')`;

/** No limit of a task is used up. */
const isOpen = sql`not exists (
  select from limit_now as one
   where ${isFor('task')}
     and ((one.places <= 0 and not ${takesNone('task')}) or (one.starts <= 0 and task.attempt = 0)))`;

/**
 * Whose places a row's work takes: those of the workspace itself, of agents of the service, or of those that wait for
 * other tasks, which would otherwise hold the place that these need.
 */
const lane = sql`case when agent = 'agentzero' then 'waits'
  when agent = any(${[...serviceAgents]}::text[]) then 'service' else 'workspace' end`;

/**
 * Where work waits: each workspace with each agent once, found by jumps through an index, however many tasks wait.
 */
const waitingPair = sql`waiting_pair as (
    (select workspace_id, agent from task where state = 'queued' order by workspace_id, agent limit 1)
    union all
    select next.workspace_id, next.agent
      from waiting_pair as pair
     cross join lateral (
        select workspace_id, agent from task
         where state = 'queued' and (workspace_id, agent) > (pair.workspace_id, pair.agent)
         order by workspace_id, agent
         limit 1
      ) as next
  )`;

/**
 * Moves to `starting` what may start now, and writes on all others why they wait.
 *
 * Order    per workspace by priority, aged by one point a minute; then by age. A full workspace, and an agent that
 *          is full or has used up its quota, keep nobody else waiting.
 * Limits   `perWorkspace`, and those of `work_limit`. A quota counts first attempts: what began may be tried again.
 *
 * Races    a row that somebody else changes meanwhile is judged anew by the conditions of the update itself, and by no
 *          others: what must still hold of it stands there too.
 */
export const chooseNext = ({
  perWorkspace,
  batchSize,
  now,
  tellAll,
}: ChooseOptions): RawBuilder<Admitted> => sql<Admitted>`
  with recursive ${waitingPair}, limit_now as (
    select one.organization_id, one.kind, one.target,
           one.max_concurrent - (
             select count(*) from task
              where organization_id = one.organization_id
                and case one.kind when 'agent' then agent = one.target else workspace_id::text = one.target end
                and not ${takesNone('task')}
                and state in ('starting', 'running', 'waiting', 'stopping')) as places,
           one.max_task_starts - (
             select count(*) from attempt join task on task.id = attempt.task_id
              where attempt.number = 1
                and attempt.created_at > ${now}::timestamptz - one.window_seconds * interval '1 second'
                and task.organization_id = one.organization_id
                and case one.kind when 'agent' then task.agent = one.target
                                  else task.workspace_id::text = one.target end) as starts
      from work_limit as one
  ), open_place as (
    select waiting.workspace_id, waiting.lane, ${perWorkspace}::bigint - coalesce(busy.places, 0) as free
      from (
        select distinct workspace_id, ${lane} as lane from waiting_pair as pair
         cross join lateral (
           select from task
            where task.workspace_id = pair.workspace_id and task.agent = pair.agent
              and state = 'queued' and run_at <= ${now} and ${isOpen}
            limit 1) as due
      ) as waiting
      left join (
        select workspace_id, ${lane} as lane, count(*) as places
          from task
         where state in ('starting', 'running', 'waiting', 'stopping')
         group by workspace_id, lane
      ) as busy using (workspace_id, lane)
     where coalesce(busy.places, 0) < ${perWorkspace}
     limit ${batchSize}
  ), candidate as (
    select next.*
      from open_place
     cross join lateral (
        select id, organization_id, workspace_id, agent, (attempt = 0)::int as is_first, submitted_at,
               priority + extract(epoch from ${now}::timestamptz - submitted_at) / 60 as aged
          from task
         where workspace_id = open_place.workspace_id and ${lane} = open_place.lane
           and state = 'queued' and run_at <= ${now} and ${isOpen}
         order by aged desc, submitted_at, id
         limit open_place.free
           for update skip locked
      ) as next
  ), ranked as (
    select *,
           row_number() over of_agent as agent_places, sum(is_first) over of_agent as agent_starts,
           row_number() over of_workspace as workspace_places, sum(is_first) over of_workspace as workspace_starts
      from candidate
    window of_agent as (partition by organization_id, agent order by aged desc, submitted_at, id),
           of_workspace as (partition by workspace_id order by aged desc, submitted_at, id)
  ), chosen as (
    select id, organization_id, workspace_id, agent, is_first
      from ranked
     where not exists (
       select from limit_now as one
        where ${isFor('ranked')}
          and (case one.kind when 'agent' then agent_places else workspace_places end > one.places
               and not ${takesNone('ranked')}
            or is_first = 1 and case one.kind when 'agent' then agent_starts else workspace_starts end > one.starts))
  ), spent as (
    select one.organization_id, one.kind, one.target
      from limit_now as one
     where one.starts <= (select count(*) from chosen where is_first = 1 and ${isFor('chosen')})
  ), waiting as (
    select task.id,
           case when task.attempt = 0 and exists (select from spent as one where ${isFor('task')})
                then 'QuotaExceeded' else 'AgentAtCapacity' end as why
      from task
     where state = 'queued' and run_at <= ${now} and ${tellAll ? sql`true` : sql`reason is null`}
       and id not in (select id from chosen)
  ), held as (
    update task set reason = waiting.why
      from waiting
     where waiting.id = task.id and task.state = 'queued' and task.reason is distinct from waiting.why
  )
  update task set state = 'starting', attempt = attempt + 1, reason = null
   where id in (select id from chosen)
  returning id, attempt, workspace_id, agent, model, trace_parent`;
