import { sql, type Migration } from 'kysely';

export const migrations: Record<string, Migration> = {
  '2026-11-21-090-workspace-ide': {
    async up(db) {
      await sql`
        create table outrigger.workspace_ide (
          workspace_id uuid primary key,
          wanted boolean,
          wanted_at timestamptz,
          reported_enabled boolean,
          reported_phase text,
          reported_message text not null default '',
          reported_at timestamptz,
          repairs integer not null default 0,
          repair_at timestamptz
        )`.execute(db);
    },
  },
  '2026-11-21-095-workspace-upkeep': {
    async up(db) {
      await sql`
        create table outrigger.workspace_check (
          workspace_id uuid primary key,
          checked_at timestamptz not null,
          missing_since timestamptz
        )`.execute(db);
      await sql`
        alter table outrigger.workspace_ide
          add column recreating_from integer,
          add column recreating_since timestamptz,
          add check ((recreating_from is null) = (recreating_since is null))`.execute(db);
    },
  },
  '2026-11-22-311-bridge-command-use': {
    async up(db) {
      await sql`
        create table outrigger.bridge_command_use (
          approval_id uuid primary key,
          command_id uuid not null,
          used_at timestamptz not null
        )`.execute(db);
    },
    async down(db) {
      await sql`drop table outrigger.bridge_command_use`.execute(db);
    },
  },
};
