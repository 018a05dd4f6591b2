import type { Migration } from 'kysely';
import { migrations as engine } from './platform/engine-migrations.ts';

/** Every room's migrations, joined; their names order them. */
export const allMigrations: Record<string, Migration> = {
  ...engine,
};
