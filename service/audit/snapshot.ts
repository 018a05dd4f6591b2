import { sql, type RawBuilder } from 'kysely';
import type { Database, Transaction } from '../platform/database.ts';
import { checkpointColumns, storedFields, type JoinedEvent } from './audit-tables.ts';
import type { Checkpoint } from './audit-chain.ts';

/** The audit's tables at one moment, read in portions: what is linked meanwhile is not seen. */
export interface AuditSnapshot {
  links(): AsyncGenerator<LinkRow>;
  checkpoints(): AsyncGenerator<Checkpoint>;
  /** Events without a link, oldest first. */
  unlinked(): AsyncGenerator<UnlinkedRow>;
  /** When the newest event was written or the newest checkpoint signed, in seconds since 1970; null when there is none. */
  newestAt(): Promise<number | null>;
  /** Ids that await their link although their event is gone. */
  vanished(): AsyncGenerator<{ readonly event_id: string }>;
}

export type LinkRow = JoinedEvent & { readonly position: number; readonly event_id: string; readonly hash: Buffer };

/** `refused`: the chainer was told never to link it. */
export type UnlinkedRow = JoinedEvent & { readonly refused: boolean };

const rowsPerFetch = 2000;

export function withSnapshot<Result>(
  database: Database,
  work: (snapshot: AuditSnapshot) => Promise<Result>,
): Promise<Result> {
  return database.transaction(async (tx) => {
    await tx.client.query('set transaction isolation level repeatable read, read only');
    const rows = <Row>(name: string, query: RawBuilder<unknown>) => cursor<Row>(tx, name, query);
    return work({
      links: () =>
        rows<LinkRow>(
          'audit_links',
          sql`select c.position, c.event_id::text as event_id, c.hash, ${storedFields}
              from audit_chain c left join audit_event e on e.id = c.event_id order by c.position`,
        ),
      checkpoints: () =>
        rows<Checkpoint>('audit_checkpoints', sql`select ${checkpointColumns} from audit_checkpoint order by sequence`),
      unlinked: () =>
        rows<UnlinkedRow>(
          'audit_unlinked',
          sql`select ${storedFields},
                exists (select 1 from audit_pending p where p.event_id = e.id and p.refused_at is not null) as refused
              from audit_event e
              where not exists (select 1 from audit_chain c where c.event_id = e.id) order by e.id`,
        ),
      newestAt: async () => {
        const { rows: newest } = await sql<{ at: string | null }>`
          select extract(epoch from greatest(
            (select max(at) from audit_event), (select max(at) from audit_checkpoint)))::text as at`.execute(
          tx.as<unknown>(),
        );
        const at = newest[0]?.at ?? null;
        return at === null ? null : Number(at);
      },
      vanished: () =>
        rows<{ event_id: string }>(
          'audit_vanished',
          sql`select distinct p.event_id::text as event_id from audit_pending p
              where not exists (select 1 from audit_event e where e.id = p.event_id)
                and not exists (select 1 from audit_chain c where c.event_id = p.event_id)`,
        ),
    });
  });
}

/** A server-side cursor: constant memory, and no position, however forged, can make paging loop. */
async function* cursor<Row>(tx: Transaction, name: string, query: RawBuilder<unknown>): AsyncGenerator<Row> {
  await tx.client.query(`declare ${name} no scroll cursor for ${query.compile(tx.as<unknown>()).sql}`);
  try {
    for (;;) {
      const { rows } = await tx.client.query(`fetch ${rowsPerFetch} from ${name}`);
      if (rows.length === 0) return;
      yield* rows as Row[];
    }
  } finally {
    await tx.client.query(`close ${name}`);
  }
}
