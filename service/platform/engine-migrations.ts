import { sql, type Migration } from 'kysely';

export const migrations: Record<string, Migration> = {
  '2026-11-21-005-replica': {
    async up(database) {
      await sql`
        create table outrigger.replica (
          id text primary key,
          started_at timestamptz not null default now(),
          seen_at timestamptz not null default now()
        )`.execute(database);
    },
  },
};
