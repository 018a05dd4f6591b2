import { sql, type Migration } from 'kysely';

const agentEntry: Migration = {
  async up(database) {
    await sql`
      create table outrigger.agent_entry (
        organization_id uuid not null,
        name text not null,
        spec jsonb not null,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        updated_by text not null,
        primary key (organization_id, name)
      )`.execute(database);
  },
};

const agentPresence: Migration = {
  async up(database) {
    await sql`
      create table outrigger.agent_presence (
        agent text not null,
        process_id text not null,
        actions jsonb not null,
        seen_at timestamptz not null,
        primary key (agent, process_id)
      )`.execute(database);
    await sql`create index on outrigger.agent_presence using gin (actions)`.execute(database);
  },
};

const workLimit: Migration = {
  async up(database) {
    await sql`
      create table outrigger.work_limit (
        organization_id uuid not null,
        kind text not null check (kind in ('agent', 'workspace')),
        target text not null,
        max_concurrent integer,
        max_task_starts integer,
        window_seconds integer,
        primary key (organization_id, kind, target),
        check ((max_task_starts is null) = (window_seconds is null))
      )`.execute(database);
  },
};

const agentEntryVersion: Migration = {
  async up(database) {
    await sql`
      create table outrigger.agent_entry_version (
        organization_id uuid not null,
        name text not null,
        version integer not null,
        spec jsonb not null,
        created_at timestamptz not null,
        created_by text not null,
        restored_from integer,
        primary key (organization_id, name, version)
      )`.execute(database);
    await sql`
      insert into outrigger.agent_entry_version (organization_id, name, version, spec, created_at, created_by)
      select organization_id, name, 1, spec, updated_at, updated_by from outrigger.agent_entry`.execute(database);
  },
};

const agentTemplate: Migration = {
  async up(database) {
    await sql`
      create table outrigger.agent_template (
        organization_id uuid not null,
        name text not null,
        spec json not null,
        updated_at timestamptz not null,
        updated_by text not null,
        primary key (organization_id, name)
      )`.execute(database);
  },
};

const workLimitStandby: Migration = {
  async up(database) {
    await sql`alter table outrigger.work_limit add idle_timeout text`.execute(database);
  },
};

const ownCredentials: Migration = {
  async up(database) {
    await sql`
      create table outrigger.own_credentials (
        organization_id uuid not null,
        owner_id text not null,
        credentials jsonb not null,
        updated_at timestamptz not null,
        primary key (organization_id, owner_id)
      )`.execute(database);
  },
  async down(database) {
    await sql`drop table outrigger.own_credentials`.execute(database);
  },
};

export const migrations: Record<string, Migration> = {
  '2026-11-21-057-agent-entry': agentEntry,
  '2026-11-21-090-agent-presence': agentPresence,
  '2026-11-21-092-work-limit': workLimit,
  '2026-11-21-222-agent-entry-version': agentEntryVersion,
  '2026-11-21-223-agent-template': agentTemplate,
  '2026-11-21-280-work-limit-standby': workLimitStandby,
  '2026-11-22-321-own-credentials': ownCredentials,
};
