import { sql, type Migration } from 'kysely';

const create: Migration = {
  async up(database) {
    await sql`
      create table outrigger.task_token (
        hash bytea primary key,
        task_id uuid not null,
        attempt integer not null check (attempt >= 1),
        workspace_id uuid not null,
        owner_id uuid not null,
        organization_id uuid not null,
        model text not null,
        created_at timestamptz not null,
        expires_at timestamptz not null,
        revoked_at timestamptz,
        calls integer not null default 0,
        limit_reached_at timestamptz
      )`.execute(database);
    await sql`
      create unique index task_token_live on outrigger.task_token (task_id) where revoked_at is null`.execute(database);
    await sql`create index task_token_attempt on outrigger.task_token (task_id, attempt)`.execute(database);
    await sql`
      create table outrigger.model_call (
        id uuid primary key,
        task_id uuid not null,
        attempt integer not null,
        workspace_id uuid not null,
        owner_id uuid not null,
        organization_id uuid not null,
        model text not null,
        started_at timestamptz not null,
        finished_at timestamptz,
        status text not null check (status in ('open', 'succeeded', 'failed', 'disconnected', 'stopped', 'lost')),
        finish_reason text,
        input_tokens bigint,
        cached_tokens bigint,
        output_tokens bigint,
        reasoning_tokens bigint,
        cost_micro_usd bigint,
        cost_source text not null check (cost_source in ('provider', 'prices', 'none', 'unknown')),
        error_code text,
        tokens_after_revoke bigint not null default 0,
        check ((cost_micro_usd is null) = (cost_source = 'unknown'))
      )`.execute(database);
    await sql`create index model_call_task on outrigger.model_call (task_id)`.execute(database);
    await sql`create index model_call_owner on outrigger.model_call (owner_id, started_at)`.execute(database);
    await sql`create index model_call_open on outrigger.model_call (started_at) where status = 'open'`.execute(
      database,
    );
  },
};

const allowedModels: Migration = {
  async up(database) {
    await sql`alter table outrigger.task_token add column allowed_models text[]`.execute(database);
  },
};

const budgets: Migration = {
  async up(database) {
    await sql`alter table outrigger.task_token add column budget_micro_usd bigint`.execute(database);
  },
};

export const migrations: Record<string, Migration> = {
  '2026-11-21-050-gateway': create,
  '2026-11-21-055-task-token-models': allowedModels,
  '2026-11-21-215-task-token-budget': budgets,
};
