import { sql, type Migration } from 'kysely';

export const migrations: Record<string, Migration> = {
  '2026-11-21-060-approvals': {
    async up(db) {
      await sql`
        create table outrigger.approval (
          id uuid primary key,
          task_id uuid not null,
          attempt integer not null,
          ask_id text not null,
          kind text not null check (kind in ('permission', 'question', 'verify')),
          title text not null,
          detail jsonb not null,
          detail_hash text not null,
          workspace_id uuid not null,
          owner_id uuid not null,
          organization_id uuid not null,
          state text not null check (state in ('pending', 'decided', 'expired', 'withdrawn')),
          decision text check (decision in ('once', 'reject')),
          decided_by uuid,
          message text,
          asked_at timestamptz not null,
          expires_at timestamptz not null,
          settled_at timestamptz,
          unique (task_id, attempt, ask_id)
        )`.execute(db);
      await sql`create index on outrigger.approval (owner_id, id desc)`.execute(db);
      await sql`create index on outrigger.approval (task_id) where state = 'pending'`.execute(db);
    },
  },
  '2026-11-21-241-approval-of-a-workflow': {
    async up(db) {
      await sql`
        alter table outrigger.approval
          drop constraint approval_kind_check,
          add constraint approval_kind_check check (kind in ('permission', 'question', 'verify', 'workflow'))`.execute(
        db,
      );
    },
  },
  '2026-11-21-249-approval-of-a-step': {
    async up(db) {
      await sql`
        alter table outrigger.approval
          drop constraint approval_kind_check,
          add constraint approval_kind_check
            check (kind in ('permission', 'question', 'verify', 'workflow', 'step'))`.execute(db);
    },
  },
  '2026-11-22-310-approval-of-a-command': {
    async up(db) {
      await sql`
        alter table outrigger.approval
          drop constraint approval_kind_check,
          add constraint approval_kind_check
            check (kind in ('permission', 'question', 'verify', 'workflow', 'step', 'command'))`.execute(db);
    },
    async down(db) {
      await sql`delete from outrigger.approval where kind = 'command'`.execute(db);
      await sql`
        alter table outrigger.approval
          drop constraint approval_kind_check,
          add constraint approval_kind_check
            check (kind in ('permission', 'question', 'verify', 'workflow', 'step'))`.execute(db);
    },
  },
  '2026-11-22-340-parked-approvals': {
    async up(db) {
      await sql`
        alter table outrigger.approval
          add call_hash text,
          add hold_until timestamptz,
          add unanswered text not null default 'reject' check (unanswered in ('park', 'reject', 'stop')),
          add parked_at timestamptz,
          add used_at timestamptz,
          add decided_via text check (decided_via in ('person', 'earlier_answer', 'rule', 'policy')),
          add is_remembered boolean not null default false`.execute(db);
      // What was asked before waits as it was told to: no later call can be the same.
      await sql`
        update outrigger.approval
           set call_hash = detail_hash,
               hold_until = case when kind in ('workflow', 'step', 'command') then null else expires_at end,
               decided_via = case when decided_by is null then null else 'person' end`.execute(db);
      await sql`alter table outrigger.approval alter call_hash set not null`.execute(db);
      await sql`create index on outrigger.approval (expires_at) where state = 'pending' and parked_at is not null`.execute(
        db,
      );
      await sql`
        create table outrigger.approval_rule (
          task_id uuid not null,
          call_hash text not null,
          approval_id uuid not null references outrigger.approval (id),
          created_by uuid not null,
          created_at timestamptz not null,
          primary key (task_id, call_hash)
        )`.execute(db);
      await sql`
        create table outrigger.approval_policy (
          organization_id uuid primary key,
          policy jsonb not null,
          updated_at timestamptz not null,
          updated_by text not null
        )`.execute(db);
    },
    async down(db) {
      await sql`drop table outrigger.approval_policy, outrigger.approval_rule`.execute(db);
      await sql`
        alter table outrigger.approval
          drop call_hash, drop hold_until, drop unanswered, drop parked_at, drop used_at,
          drop decided_via, drop is_remembered`.execute(db);
    },
  },
  '2026-11-22-342-call-hash-by-default': {
    // An earlier version names no hash, and must be able to ask after a roll-back. No call has this one.
    async up(db) {
      await sql`alter table outrigger.approval alter call_hash set default ''`.execute(db);
    },
    async down(db) {
      await sql`alter table outrigger.approval alter call_hash drop default`.execute(db);
    },
  },
};
