import { sql, type Migration } from 'kysely';

/** `spec` is json, not jsonb: it comes back with its keys in the order they were written. */
const definitions: Migration = {
  async up(database) {
    await sql`
      create table outrigger.workflow_definition (
        id uuid primary key,
        organization_id uuid not null,
        name text not null,
        author_id uuid not null,
        version integer not null,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        unique (organization_id, name)
      )`.execute(database);
    await sql`
      create table outrigger.workflow_definition_version (
        definition_id uuid not null references outrigger.workflow_definition (id) on delete cascade,
        version integer not null,
        spec json not null,
        content_hash text not null,
        created_at timestamptz not null,
        created_by text not null,
        restored_from integer,
        primary key (definition_id, version)
      )`.execute(database);
  },
};

export const migrations: Record<string, Migration> = { '2026-11-21-220-workflow-definitions': definitions };
