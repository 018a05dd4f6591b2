import type { Clock } from '../platform/clock.ts';
import type { Database, Transaction } from '../platform/database.ts';
import type { AuditKeys } from '../platform/keys.ts';
import type { Logger } from '../platform/logger.ts';
import { fieldsOf, macOf, type AuditEntry, type StoredFields } from './audit-event.ts';
import type { AuditTables } from './audit-tables.ts';
import { makeEventIds } from './event-ids.ts';

/** Where facts are written. */
export interface AuditLog {
  /** Writes in the transaction of the change it describes: both happen or neither. Gives the event's id. */
  append(tx: Transaction, entry: AuditEntry): Promise<string>;
  /** For reads: returns at once; the event is written in a transaction of its own within a second. */
  record(entry: AuditEntry): void;
  /** Writes what `record` still holds. Rejects when the database refuses; the events stay held. */
  flush(): Promise<void>;
}

const flushAfterMs = 1000;
/** Rows of one insert: 13 parameters each, Postgres takes 65,535. */
const rowsPerInsert = 500;
/** About 10 MB. Beyond it further reads are given up, loudly, rather than the service's memory. */
const heldAtMost = 20_000;

export function makeAuditLog(options: {
  readonly database: Database;
  readonly keys: Pick<AuditKeys, 'hmac'>;
  readonly clock: Clock;
  readonly log: Logger;
}): AuditLog {
  const { database, keys, clock, log } = options;
  const nextId = makeEventIds();
  const held: StoredFields[] = [];
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();

  const authenticated = (fields: StoredFields) => ({
    ...fields,
    at: isoTime(fields.at),
    mac: macOf(keys.hmac, fields),
  });

  const insert = async (tx: Transaction, rows: readonly StoredFields[]): Promise<void> => {
    await tx.as<AuditTables>().insertInto('audit_event').values(rows.map(authenticated)).execute();
  };

  const writeHeld = async (): Promise<void> => {
    while (held.length > 0) {
      const rows = held.slice(0, rowsPerInsert);
      await database.transaction((tx) => insert(tx, rows));
      held.splice(0, rows.length);
    }
  };

  /** One flush at a time: two would write the same rows. */
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.catch(() => undefined).then(writeHeld);
    return flushing;
  };

  const flushSoon = (): void => {
    timer ??= setTimeout(() => {
      flush().catch((error: unknown) => {
        log.error({ err: error, held: held.length }, 'audit of reads could not be written');
        flushSoon();
      });
    }, flushAfterMs).unref();
  };

  return {
    async append(tx, entry) {
      const at = clock.now();
      const fields = fieldsOf(entry, nextId(at), at);
      await insert(tx, [fields]);
      return fields.id;
    },

    record(entry) {
      if (held.length >= heldAtMost) {
        log.error({ action: entry.action, held: held.length }, 'audit of a read was given up');
        return;
      }
      const at = clock.now();
      held.push(fieldsOf(entry, nextId(at), at));
      flushSoon();
    },

    flush,
  };
}

const isoTime = (epoch: string): string => new Date(Math.round(Number(epoch) * 1000)).toISOString();
