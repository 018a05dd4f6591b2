import { sql, type ColumnType, type Generated, type RawBuilder } from 'kysely';
import type { StoredFields } from './audit-event.ts';

/** `at` and `data` go in as text; they are read back through `storedFields`, never as parsed values. */
export interface AuditTables {
  audit_event: {
    id: string;
    at: ColumnType<Date, string, never>;
    actor: string;
    action: string;
    target_type: string;
    target_id: string;
    outcome: string;
    owner_id: string | null;
    organization_id: string | null;
    workspace_id: string | null;
    request_id: string | null;
    data: ColumnType<Record<string, unknown>, string, never>;
    mac: Buffer;
  };
  audit_chain: { position: number; event_id: string; hash: Buffer };
  audit_checkpoint: {
    sequence: number;
    position: number;
    hash: Buffer;
    at: ColumnType<Date, string, never>;
    key_id: string;
    signature: Buffer;
  };
  audit_pending: { serial: Generated<number>; event_id: string; refused_at: Date | null };
}

/** Columns of `audit_event e` as the texts that were hashed; `stored_id` is null when a left join found no event. */
export const storedFields: RawBuilder<unknown> = sql`
  e.id::text as stored_id, extract(epoch from e.at)::text as at, e.actor, e.action, e.target_type, e.target_id,
  e.outcome, e.owner_id, e.organization_id, e.workspace_id, e.request_id, e.data::text as data, e.mac`;

export type JoinedEvent = { [Field in Exclude<keyof StoredFields, 'id'>]: StoredFields[Field] | null } & {
  readonly stored_id: string | null;
  readonly mac: Buffer | null;
};

/** The event of a joined row, or null when there is none. */
export function eventOf(row: JoinedEvent): { fields: StoredFields; mac: Buffer } | null {
  if (row.stored_id === null) return null;
  return {
    // Columns without `not null` are the nullable ones of StoredFields, so a present row has the rest.
    fields: { ...(row as unknown as StoredFields), id: row.stored_id },
    mac: row.mac ?? Buffer.alloc(0),
  };
}

export const checkpointColumns: RawBuilder<unknown> = sql`
  sequence, position, hash, extract(epoch from at)::text as at, key_id as "keyId", signature`;
