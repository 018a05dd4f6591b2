import { sql, type Migration } from 'kysely';
import { migrations as definitions } from './definitions/migrations.ts';

export const migrations: Record<string, Migration> = {
  '2026-11-21-080-workflows': {
    async up(db) {
      await sql`
        create table outrigger.workflow (
          id uuid primary key,
          name text not null,
          owner_id uuid not null,
          owner_name text not null,
          commit_identity jsonb not null,
          max_parallel integer not null,
          outcome text check (outcome in ('succeeded', 'failed', 'canceled')),
          request_id text,
          created_at timestamptz not null,
          finished_at timestamptz
        )`.execute(db);
      await sql`create index on outrigger.workflow (owner_id, id desc)`.execute(db);
      await sql`create index on outrigger.workflow (created_at) where outcome is null`.execute(db);
      await sql`
        create table outrigger.workflow_step (
          workflow_id uuid not null references outrigger.workflow (id),
          step_id text not null,
          position integer not null,
          depends_on jsonb not null,
          work jsonb not null,
          workspace jsonb not null,
          canceled_at timestamptz,
          primary key (workflow_id, step_id)
        )`.execute(db);
    },
  },
  '2026-11-21-210-cancel-workflow': {
    async up(db) {
      await sql`
        alter table outrigger.workflow add cancel_requested_at timestamptz, add cancel_requested_by uuid`.execute(db);
    },
  },
  '2026-11-21-213-approval-of-a-step': {
    async up(db) {
      await sql`
        alter table outrigger.workflow_step add needs_approval boolean not null default false`.execute(db);
    },
  },
  '2026-11-21-212-runs-and-compensation': {
    async up(db) {
      await sql`alter table outrigger.workflow add run integer not null default 1`.execute(db);
      await sql`alter table outrigger.workflow add event_seq bigint not null default 0`.execute(db);
      await sql`
        alter table outrigger.workflow_step
          add on_failure_of jsonb not null default '[]',
          add run integer not null default 1,
          add skipped_at timestamptz,
          add told text`.execute(db);
      await sql`
        create table outrigger.workflow_event (
          workflow_id uuid not null references outrigger.workflow (id),
          seq bigint not null,
          at timestamptz not null,
          type text not null,
          run integer not null,
          step_id text,
          data jsonb not null,
          primary key (workflow_id, seq)
        )`.execute(db);
    },
  },
  '2026-11-21-262-trace-of-a-workflow': {
    async up(db) {
      await sql`alter table outrigger.workflow add trace_parent text`.execute(db);
    },
  },
  ...definitions,
};
