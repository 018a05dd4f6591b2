import type { Migration } from 'kysely';

/** Every room's migrations, joined; their names order them. */
export const allMigrations: Record<string, Migration> = {};
