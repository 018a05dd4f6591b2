import { sql, type Kysely, type Migration } from 'kysely';

const templateSecret: Migration = {
  async up(db: Kysely<unknown>) {
    await sql
      .raw(
        `create table outrigger.template_secret (
           kid text primary key,
           organization_id text not null,
           template_name text not null,
           template_version_id text,
           sealed bytea not null,
           created_at timestamptz not null,
           created_by text not null,
           superseded_at timestamptz,
           retired_at timestamptz
         )`,
      )
      .execute(db);
    await sql
      .raw(`create index template_secret_template on outrigger.template_secret (organization_id, template_name)`)
      .execute(db);
  },
};

const agentSecret: Migration = {
  async up(db: Kysely<unknown>) {
    await sql
      .raw(
        `create table outrigger.agent_secret (
           organization_id uuid not null,
           name text not null,
           key text not null,
           sealed bytea not null,
           created_at timestamptz not null,
           updated_at timestamptz not null,
           updated_by text not null,
           primary key (organization_id, name, key)
         )`,
      )
      .execute(db);
  },
};

const secret: Migration = {
  async up(db) {
    await sql`
      create table outrigger.secret_scope (
        organization_id uuid not null,
        owner_id text not null,
        workspace_id text not null,
        key_id text not null,
        sealed bytea not null,
        created_at timestamptz not null,
        rotated_at timestamptz not null,
        primary key (organization_id, owner_id, workspace_id)
      )`.execute(db);
    await sql`
      create table outrigger.secret (
        organization_id uuid not null,
        owner_id text not null,
        workspace_id text not null,
        name text not null,
        key text not null,
        sealed bytea not null,
        rotate_after timestamptz,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        updated_by text not null,
        primary key (organization_id, owner_id, workspace_id, name, key)
      )`.execute(db);
    await sql`create index on outrigger.secret (rotate_after) where rotate_after is not null`.execute(db);
  },
  async down(db) {
    await sql`drop table outrigger.secret, outrigger.secret_scope`.execute(db);
  },
};

export const migrations: Record<string, Migration> = {
  '2026-11-21-020-template-secret': templateSecret,
  '2026-11-21-025-agent-secret': agentSecret,
  '2026-11-22-320-secret': secret,
};
