import { sql, type Migration } from 'kysely';

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
};
