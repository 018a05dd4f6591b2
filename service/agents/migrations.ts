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

export const migrations: Record<string, Migration> = { '2026-11-21-057-agent-entry': agentEntry };
