import pg from 'pg';
import { nowMs } from './waiting.ts';

/** Notes when a NOTIFY arrives, which is when the transaction that sent it has committed. */
export interface Hearing {
  /** Forgets what was heard and listens anew. */
  reset(): void;
  /** When a payload was heard first, second …; in milliseconds since 1970. */
  times(payload: string): readonly number[];
  /** Anything on the channel at all. */
  readonly first: number | undefined;
}

/** Listens on a connection of its own. `close` is left to the ground. */
export async function startHearing(
  databaseUrl: string,
  channels: readonly string[],
  afterwards: (undo: () => Promise<unknown>) => void,
): Promise<Hearing> {
  const client = new pg.Client({ connectionString: databaseUrl });
  let heard = new Map<string, number[]>();
  let first: number | undefined;
  client.on('error', () => undefined);
  client.on('notification', ({ payload = '' }) => {
    const now = nowMs();
    first ??= now;
    const times = heard.get(payload) ?? [];
    times.push(now);
    heard.set(payload, times);
  });
  await client.connect();
  afterwards(() => client.end());
  for (const channel of channels) await client.query(`listen ${pg.escapeIdentifier(channel)}`);
  return {
    reset() {
      heard = new Map();
      first = undefined;
    },
    times: (payload) => heard.get(payload) ?? [],
    get first() {
      return first;
    },
  };
}
