import { sql } from 'kysely';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Look, Reading } from './metrics.ts';

/** What the database says when it is asked: queues, questions, dead letters, audit, bridges. Bounded by indexes. */
export function databaseLooks(database: Pick<Database, 'as'>, clock: Clock): readonly Look[] {
  const many =
    (query: (now: Date) => ReturnType<typeof sql<{ label: string; value: number }>>, label: string) =>
    async (): Promise<Reading> => {
      const { rows } = await query(clock.now()).execute(database.as<unknown>());
      return rows.map((row) => ({ labels: { [label]: row.label }, value: Number(row.value) }));
    };
  const one =
    (query: (now: Date) => ReturnType<typeof sql<{ value: number | null }>>) => async (): Promise<Reading> => {
      const { rows } = await query(clock.now()).execute(database.as<unknown>());
      return Number(rows[0]?.value ?? 0);
    };
  return [
    {
      name: 'outrigger_tasks',
      help: 'Tasks that are not finished, by state.',
      labels: ['state'],
      read: many(
        () => sql<{ label: string; value: number }>`
          select state as label, count(*)::float8 as value from task where state <> 'finished' group by state`,
        'state',
      ),
    },
    {
      name: 'outrigger_queue_oldest_seconds',
      help: 'How long the task that may start longest has waited to start; 0 where none waits.',
      read: one(
        (now) => sql<{ value: number | null }>`
          select extract(epoch from (${now}::timestamptz - min(run_at)))::float8 as value
            from task where state = 'queued' and run_at <= ${now}`,
      ),
    },
    {
      name: 'outrigger_approvals_pending',
      help: 'Questions that wait for a person.',
      read: one(() => sql<{ value: number }>`select count(*)::float8 as value from approval where state = 'pending'`),
    },
    {
      name: 'outrigger_approval_oldest_seconds',
      help: 'How long the oldest question has waited; 0 where none waits.',
      read: one(
        (now) => sql<{ value: number | null }>`
          select extract(epoch from (${now}::timestamptz - min(asked_at)))::float8 as value
            from approval where state = 'pending'`,
      ),
    },
    {
      name: 'outrigger_dead_letters',
      help: 'Tasks that used up their attempts and were not taken up again.',
      read: one(
        () => sql<{ value: number }>`select count(*)::float8 as value from dead_letter where requeued_at is null`,
      ),
    },
    {
      name: 'outrigger_audit_unchained_events',
      help: 'Audit events that are stored and not yet linked into the chain.',
      read: one(
        () => sql<{ value: number }>`select count(*)::float8 as value from audit_pending where refused_at is null`,
      ),
    },
    {
      name: 'outrigger_audit_refused_events',
      help: 'Audit events that were not written by this service and were refused by the chain.',
      read: one(
        () => sql<{ value: number }>`
          select count(*)::float8 as value from audit_pending where refused_at is not null`,
      ),
    },
  ];
}
