import { sql, type Kysely, type Migration } from 'kysely';

/**
 * The audit's tables. A trigger refuses to change or delete what was written; a superuser can disable it,
 * which is why the rows are also authenticated, linked and signed.
 *
 * `audit_pending` is the chainer's list of work and holds no evidence. It is filled by a trigger in the inserting
 * transaction, so an event appears there exactly when it becomes visible, however late its transaction commits.
 */
const audit: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};

const statements = [
  `create table outrigger.audit_event (
     id uuid primary key,
     at timestamptz not null,
     actor text not null check (actor ~ '^(user:.+|service|bridge:.+)$'),
     action text not null check (action ~ '^[a-z][a-z_]*(\\.[a-z][a-z_]*)+$'),
     target_type text not null,
     target_id text not null,
     outcome text not null check (outcome in ('success', 'failure', 'denied', 'intent')),
     owner_id text,
     organization_id text,
     workspace_id text,
     request_id text,
     -- json, not jsonb: it keeps the bytes that were authenticated
     data json not null,
     mac bytea not null
   )`,
  `create index audit_event_actor on outrigger.audit_event (actor, id desc)`,
  `create index audit_event_owner on outrigger.audit_event (owner_id, id desc) where owner_id is not null`,
  `create index audit_event_workspace on outrigger.audit_event (workspace_id, id desc) where workspace_id is not null`,
  `create index audit_event_target on outrigger.audit_event (target_type, target_id, id desc)`,
  `create table outrigger.audit_chain (
     position bigint primary key,
     event_id uuid not null unique,
     hash bytea not null
   )`,
  `create table outrigger.audit_checkpoint (
     sequence bigint primary key,
     position bigint not null unique,
     hash bytea not null,
     at timestamptz not null,
     key_id text not null,
     signature bytea not null
   )`,
  `create table outrigger.audit_pending (
     serial bigint generated always as identity primary key,
     event_id uuid not null,
     refused_at timestamptz
   )`,
  `create index audit_pending_open on outrigger.audit_pending (serial) where refused_at is null`,
  `create index audit_pending_event on outrigger.audit_pending (event_id)`,
  `create function outrigger.audit_event_await_chain() returns trigger language plpgsql as $$
   begin
     insert into outrigger.audit_pending (event_id) values (new.id);
     return null;
   end $$`,
  `create trigger audit_event_await_chain after insert on outrigger.audit_event
     for each row execute function outrigger.audit_event_await_chain()`,
  `create function outrigger.audit_refuse_change() returns trigger language plpgsql as $$
   begin
     raise exception '% of % refused: audit rows are never changed or deleted', tg_op, tg_table_name
       using errcode = 'insufficient_privilege';
   end $$`,
  ...['audit_event', 'audit_chain', 'audit_checkpoint'].map(
    (table) => `create trigger ${table}_refuse_change before update or delete or truncate on outrigger.${table}
       for each statement execute function outrigger.audit_refuse_change()`,
  ),
];

export const migrations: Record<string, Migration> = { '2026-11-21-010-audit': audit };
