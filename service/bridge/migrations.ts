import { sql, type Migration } from 'kysely';

export const migrations: Record<string, Migration> = {
  '2026-11-21-050-bridge': {
    async up(db) {
      await sql`
        create table outrigger.bridge (
          workspace_id uuid primary key,
          generation integer not null,
          workspace_agent_id uuid not null,
          owner_id uuid not null,
          organization_id uuid not null,
          harness_version text not null,
          protocol_version integer not null,
          capabilities jsonb not null,
          token_hash bytea not null unique,
          token_expires_at timestamptz not null,
          registered_at timestamptz not null,
          last_seen_at timestamptz not null,
          connected boolean not null default false
        )`.execute(db);
      await sql`
        create table outrigger.bridge_frame (
          id bigint generated always as identity primary key,
          frame_id uuid not null unique,
          workspace_id uuid not null,
          type text not null,
          payload jsonb not null,
          created_at timestamptz not null,
          acked_at timestamptz
        )`.execute(db);
      await sql`create index on outrigger.bridge_frame (workspace_id, id) where acked_at is null`.execute(db);
    },
  },
  '2026-11-21-200-frame-reply': {
    async up(db) {
      await sql`alter table outrigger.bridge_frame add reply jsonb`.execute(db);
    },
  },
  '2026-11-21-207-harness-parts': {
    async up(db) {
      await sql`
        create table outrigger.harness_parts (
          workspace_id uuid primary key,
          parts jsonb not null,
          reported_at timestamptz not null
        )`.execute(db);
    },
  },
};
