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

const costSources = `'provider', 'prices', 'none', 'unknown'`;

const ledger: Migration = {
  async up(database) {
    await sql`
      alter table outrigger.model_call
        add column tool_calls integer not null default 0,
        add column call_signature text,
        add column reserved_input bigint not null default 0,
        add column reserved_output bigint not null default 0,
        add column reserved_micro_usd bigint,
        add column is_estimate boolean not null default false,
        add column generation_id text,
        add column recalls integer not null default 0,
        drop constraint model_call_cost_source_check,
        add constraint model_call_cost_source_check
          check (cost_source in (${sql.raw(costSources)}, 'estimate'))`.execute(database);
    await sql`
      create index model_call_recall on outrigger.model_call (finished_at)
      where is_estimate and generation_id is not null`.execute(database);
    await sql`
      create index model_call_organization on outrigger.model_call (organization_id, started_at)`.execute(database);
  },
  async down(database) {
    await sql`drop index outrigger.model_call_recall, outrigger.model_call_organization`.execute(database);
    await sql`
      update outrigger.model_call set cost_source = 'unknown', cost_micro_usd = null
      where cost_source = 'estimate'`.execute(database);
    await sql`
      alter table outrigger.model_call
        drop constraint model_call_cost_source_check,
        add constraint model_call_cost_source_check check (cost_source in (${sql.raw(costSources)})),
        drop column tool_calls, drop column call_signature, drop column reserved_input, drop column reserved_output,
        drop column reserved_micro_usd, drop column is_estimate, drop column generation_id, drop column recalls`.execute(
      database,
    );
  },
};

const limits: Migration = {
  async up(database) {
    await sql`
      alter table outrigger.task_token
        add column budget_tokens bigint,
        add column budget_tool_calls bigint,
        add column fallback_models text[],
        add column halted_at timestamptz,
        add column halt_reason text,
        add column halt_message text`.execute(database);
    await sql`
      create index task_token_halted on outrigger.task_token (halted_at)
      where halted_at is not null and revoked_at is null`.execute(database);
    await sql`
      create index task_token_organization on outrigger.task_token (organization_id, created_at)`.execute(database);
    await sql`
      create table outrigger.budget (
        organization_id uuid not null,
        scope text not null check (scope in ('organization', 'user', 'task')),
        target text not null,
        period text not null check (period in ('day', 'month', 'total')),
        tokens bigint,
        micro_usd bigint,
        seconds bigint,
        tool_calls bigint,
        primary key (organization_id, scope, target)
      )`.execute(database);
    await sql`
      create table outrigger.budget_warning (
        key text not null,
        period_start timestamptz not null,
        kind text not null,
        at timestamptz not null,
        primary key (key, period_start, kind)
      )`.execute(database);
  },
  async down(database) {
    await sql`drop table outrigger.budget, outrigger.budget_warning`.execute(database);
    await sql`drop index outrigger.task_token_halted, outrigger.task_token_organization`.execute(database);
    await sql`
      alter table outrigger.task_token
        drop column budget_tokens, drop column budget_tool_calls, drop column fallback_models,
        drop column halted_at, drop column halt_reason, drop column halt_message`.execute(database);
  },
};

export const migrations: Record<string, Migration> = {
  '2026-11-21-050-gateway': create,
  '2026-11-21-055-task-token-models': allowedModels,
  '2026-11-21-215-task-token-budget': budgets,
  '2026-11-22-330-gateway-ledger': ledger,
  '2026-11-22-331-gateway-limits': limits,
};
