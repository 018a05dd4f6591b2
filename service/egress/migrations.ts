import { sql, type Kysely, type Migration } from 'kysely';

const egress: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of [
      `create table outrigger.egress_list (
         organization_id uuid primary key,
         version integer not null
       )`,
      `create table outrigger.egress_rule (
         id uuid primary key,
         organization_id uuid not null,
         workspace_id uuid,
         host text not null,
         added_in integer not null,
         removed_in integer,
         created_by text not null,
         created_at timestamptz not null,
         expires_at timestamptz
       )`,
      `create index egress_rule_organization on outrigger.egress_rule (organization_id) where removed_in is null`,
      `create table outrigger.egress_request (
         id uuid primary key,
         organization_id uuid not null,
         workspace_id uuid not null,
         host text not null,
         why text not null,
         state text not null,
         asked_by uuid not null,
         asked_at timestamptz not null,
         decided_by text,
         decided_at timestamptz,
         rule_id uuid references outrigger.egress_rule (id)
       )`,
      `create unique index egress_request_waiting on outrigger.egress_request (workspace_id, host)
         where state = 'waiting'`,
      `create table outrigger.egress_blocked (
         workspace_id uuid not null,
         host text not null,
         port integer not null,
         reason text not null,
         count bigint not null,
         first_at timestamptz not null,
         last_at timestamptz not null,
         primary key (workspace_id, host, port, reason)
       )`,
    ])
      await sql.raw(statement).execute(db);
  },
  async down(db: Kysely<unknown>) {
    for (const table of ['egress_blocked', 'egress_request', 'egress_rule', 'egress_list'])
      await sql.raw(`drop table outrigger.${table}`).execute(db);
  },
};

export const migrations: Record<string, Migration> = { '2026-11-22-370-egress': egress };
