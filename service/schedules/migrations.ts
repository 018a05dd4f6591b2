import { sql, type Migration } from 'kysely';

const schedule: Migration = {
  async up(db) {
    await sql`
      create table outrigger.schedule (
        id uuid primary key,
        name text not null,
        owner_id uuid not null,
        owner_name text not null,
        organization_id uuid not null,
        metadata jsonb not null,
        spec jsonb not null,
        work jsonb not null,
        next_run_at timestamptz,
        retry_at timestamptz,
        last_run_at timestamptz,
        suspended_at timestamptz,
        suspended_reason text,
        refusals integer not null default 0,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        unique (owner_id, name)
      )`.execute(db);
    await sql`
      create index on outrigger.schedule ((coalesce(retry_at, next_run_at))) where suspended_at is null`.execute(db);
    await sql`
      create table outrigger.schedule_run (
        id uuid primary key,
        schedule_id uuid not null references outrigger.schedule (id) on delete cascade,
        name text not null,
        cause text not null check (cause in ('schedule', 'trigger')),
        scheduled_at timestamptz not null,
        decided_at timestamptz not null,
        verdict text not null check (verdict in ('started', 'skipped', 'refused')),
        reason text,
        message text,
        task_id uuid,
        workflow_id uuid,
        outcome text,
        ended_at timestamptz,
        unique (schedule_id, scheduled_at),
        check ((verdict = 'started') = (num_nonnulls(task_id, workflow_id) = 1))
      )`.execute(db);
    await sql`
      create index on outrigger.schedule_run (schedule_id) where verdict = 'started' and outcome is null`.execute(db);
  },
};

const webhook: Migration = {
  async up(db) {
    await sql`
      create table outrigger.webhook (
        id uuid primary key,
        name text not null unique,
        kind text not null,
        owner_id uuid not null,
        owner_name text not null,
        organization_id uuid not null,
        rules jsonb not null,
        work jsonb not null,
        sealed bytea not null,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        rotated_at timestamptz not null
      )`.execute(db);
    await sql`create index on outrigger.webhook (owner_id, id desc)`.execute(db);
    await sql`
      create table outrigger.webhook_delivery (
        id uuid primary key,
        webhook_id uuid not null references outrigger.webhook (id) on delete cascade,
        delivery_id text not null,
        fingerprint text not null,
        event text,
        received_at timestamptz not null,
        verdict text not null check (verdict in ('started', 'ignored', 'refused')),
        reason text,
        message text,
        task_id uuid,
        workflow_id uuid,
        unique (webhook_id, delivery_id),
        unique (webhook_id, fingerprint)
      )`.execute(db);
    await sql`create index on outrigger.webhook_delivery (received_at)`.execute(db);
  },
};

export const migrations: Record<string, Migration> = {
  '2026-11-21-230-schedule': schedule,
  '2026-11-21-231-webhook': webhook,
};
