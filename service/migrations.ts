import type { Migration } from 'kysely';
import { migrations as agents } from './agents/migrations.ts';
import { migrations as audit } from './audit/migrations.ts';
import { migrations as egress } from './egress/migrations.ts';
import { migrations as gateway } from './gateway/migrations.ts';
import { migrations as approvals } from './approvals/migrations.ts';
import { migrations as bridge } from './bridge/migrations.ts';
import { migrations as schedules } from './schedules/migrations.ts';
import { migrations as tasks } from './tasks/migrations.ts';
import { migrations as taskRecord } from './tasks/record-migrations.ts';
import { migrations as workflows } from './workflows/migrations.ts';
import { migrations as workspaces } from './workspaces/migrations.ts';
import { idempotencyMigrations } from './platform/idempotency.ts';
import { migrations as engine } from './platform/engine-migrations.ts';
import { migrations as secrets } from './secrets/migrations.ts';

/** Every room's migrations, joined; their names order them. */
export const allMigrations: Record<string, Migration> = {
  ...engine,
  ...audit,
  ...secrets,
  ...egress,
  ...gateway,
  ...agents,
  ...bridge,
  ...approvals,
  ...tasks,
  ...taskRecord,
  ...workflows,
  ...schedules,
  ...workspaces,
  ...idempotencyMigrations,
};
