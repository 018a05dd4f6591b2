import { sql, type Migration } from 'kysely';

export const migrations: Record<string, Migration> = {
  '2026-11-21-070-tasks': {
    async up(db) {
      await sql`
        create table outrigger.task (
          id uuid primary key,
          agent text not null,
          type text not null,
          action text not null,
          title text not null,
          prompt text not null,
          payload jsonb not null,
          owner_id uuid not null,
          owner_name text not null,
          commit_identity jsonb not null,
          organization_id uuid not null,
          organization_name text not null,
          workspace_id uuid not null,
          workspace_name text not null,
          workflow_id uuid,
          step_id text,
          profile text not null,
          model text not null,
          verify jsonb,
          branch text not null,
          base_commits jsonb not null,
          priority integer not null,
          timeout_ms integer not null,
          max_attempts integer not null,
          retry_delay_ms integer not null,
          state text not null,
          outcome text,
          reason text,
          message text,
          attempt integer not null default 0,
          run_at timestamptz not null,
          session_id text,
          event_seq bigint not null default 0,
          stop_reason text,
          stop_requested_at timestamptz,
          request_id text,
          submitted_at timestamptz not null,
          started_at timestamptz,
          finished_at timestamptz,
          evidence jsonb,
          usage jsonb,
          unique (workflow_id, step_id),
          check ((state = 'finished') = (outcome is not null))
        )`.execute(db);
      await sql`create index on outrigger.task (workspace_id, run_at) where state = 'queued'`.execute(db);
      await sql`create index on outrigger.task (workspace_id, state) where state not in ('finished', 'queued')`.execute(
        db,
      );
      await sql`create index on outrigger.task (owner_id, id desc)`.execute(db);
      await sql`
        create table outrigger.attempt (
          task_id uuid not null references outrigger.task (id),
          number integer not null,
          workspace_id uuid not null,
          state text not null check (state in ('preparing', 'offered', 'leased', 'reported', 'settled')),
          prepare_until timestamptz not null,
          lease_generation integer,
          lease_until timestamptz,
          last_source_seq integer not null default 0,
          waiting_since timestamptz,
          waited_ms bigint not null default 0,
          evidence jsonb,
          outcome text,
          reason text,
          created_at timestamptz not null,
          leased_at timestamptz,
          settled_at timestamptz,
          primary key (task_id, number)
        )`.execute(db);
      await sql`create index on outrigger.attempt (workspace_id) where state in ('offered', 'leased')`.execute(db);
      await sql`create index on outrigger.attempt (created_at) where state <> 'settled'`.execute(db);
      await sql`
        create table outrigger.task_event (
          task_id uuid not null references outrigger.task (id),
          seq bigint not null,
          at timestamptz not null,
          type text not null,
          attempt integer not null,
          data jsonb not null,
          primary key (task_id, seq)
        )`.execute(db);
    },
  },
  '2026-11-21-091-fallback-and-dead-letters': {
    async up(db) {
      await sql`alter table outrigger.task add fallback jsonb, add fell_back_after integer`.execute(db);
      await sql`
        alter table outrigger.attempt add agent text, add model text, add running_at timestamptz`.execute(db);
      await sql`
        create table outrigger.dead_letter (
          id uuid primary key,
          task_id uuid not null unique references outrigger.task (id),
          owner_id uuid not null,
          workspace_id uuid not null,
          agent text not null,
          action text not null,
          attempts integer not null,
          reason text,
          message text,
          created_at timestamptz not null,
          requeued_at timestamptz,
          requeued_by uuid,
          requeued_as uuid
        )`.execute(db);
      await sql`create index on outrigger.dead_letter (owner_id, id desc)`.execute(db);
      await sql`create index on outrigger.attempt (created_at) where number = 1`.execute(db);
    },
  },
  '2026-11-21-216-budget-of-a-task': {
    async up(db) {
      await sql`alter table outrigger.task add budget_micro_usd bigint`.execute(db);
    },
  },
  '2026-11-21-211-runs-of-a-step': {
    async up(db) {
      await sql`alter table outrigger.task add step_run integer not null default 1`.execute(db);
      await sql`alter table outrigger.task add unique (workflow_id, step_id, step_run)`.execute(db);
      await sql`alter table outrigger.task drop constraint task_workflow_id_step_id_key`.execute(db);
    },
  },
  '2026-11-21-240-task-history': {
    async up(db) {
      await sql`
        create index on outrigger.task (organization_id, agent, action, model, id desc) where state = 'finished'`.execute(
        db,
      );
    },
  },
  '2026-11-21-260-task-messages': {
    async up(db) {
      await sql`
        create table outrigger.task_message (
          id uuid primary key,
          task_id uuid not null references outrigger.task (id),
          author_id uuid not null,
          text text not null,
          created_at timestamptz not null,
          delivered_at timestamptz,
          attempt integer
        )`.execute(db);
      await sql`create index on outrigger.task_message (task_id, id)`.execute(db);
    },
  },
  '2026-11-21-224-named-task': {
    async up(db) {
      await sql`
        create table outrigger.named_task (
          owner_id uuid not null,
          name text not null,
          content_hash text not null,
          task_id uuid,
          written_at timestamptz not null,
          primary key (owner_id, name)
        )`.execute(db);
    },
  },
  '2026-11-21-261-trace-of-a-task': {
    async up(db) {
      await sql`alter table outrigger.task add trace_parent text, add retry_of uuid`.execute(db);
    },
  },
  '2026-11-21-281-workspace-start': {
    async up(db) {
      await sql`
        create table outrigger.workspace_start (
          workspace_id uuid primary key,
          organization_id uuid not null,
          agent text not null,
          build_id uuid not null,
          started_at timestamptz not null,
          look_at timestamptz not null,
          stopping_since timestamptz
        )`.execute(db);
      await sql`create index on outrigger.task (workspace_id, finished_at)`.execute(db);
    },
  },
  '2026-11-21-290-queue-indexes': {
    async up(db) {
      await sql`create index on outrigger.task (workspace_id, agent) where state = 'queued'`.execute(db);
      await sql`create index on outrigger.task (owner_id) where state = 'queued'`.execute(db);
      await sql`create index on outrigger.task (id) where state = 'queued' and reason is null`.execute(db);
    },
  },
  '2026-11-22-341-parked-attempts': {
    async up(db) {
      await sql`alter table outrigger.attempt add parking_since timestamptz`.execute(db);
      await sql`alter table outrigger.task add parks integer not null default 0`.execute(db);
    },
    async down(db) {
      await sql`alter table outrigger.attempt drop parking_since`.execute(db);
      await sql`alter table outrigger.task drop parks`.execute(db);
    },
  },
  '2026-11-22-332-limits-of-a-task': {
    async up(db) {
      await sql`
        alter table outrigger.task
          add budget_tokens bigint,
          add budget_tool_calls bigint,
          add fallback_models text[] not null default '{}'`.execute(db);
    },
    async down(db) {
      await sql`
        alter table outrigger.task
          drop budget_tokens, drop budget_tool_calls, drop fallback_models`.execute(db);
    },
  },
};
