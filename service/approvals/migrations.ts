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
};
