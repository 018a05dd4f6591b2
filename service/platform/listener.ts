import pg from 'pg';
import type { Logger } from './logger.ts';

/** Hears NOTIFY on one dedicated connection and keeps that connection alive. */
export interface Listener {
  /** Calls `hear` with each payload on `channel`. `gap` runs after a reconnection, when payloads may have been missed. */
  on(channel: string, hear: (payload: string) => void, gap: () => void): () => void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface Subscription {
  readonly channel: string;
  readonly hear: (payload: string) => void;
  readonly gap: () => void;
}

/**
 * Makes a listener on `url`.
 *
 * Safety  a notification is a hint: state is always read from rows, so a lost one costs time, never truth.
 */
export function makeListener(options: { url: string; log: Logger; retryMs?: number }): Listener {
  const { url, log, retryMs = 1_000 } = options;
  const subscriptions = new Set<Subscription>();
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;

  async function connect(): Promise<void> {
    const next = new pg.Client({ connectionString: url, keepAlive: true });
    next.on('error', (error) => log.warn({ error: error.message }, 'listener connection failed'));
    next.on('end', () => reconnectLater(next));
    next.on('notification', ({ channel, payload }) => {
      for (const one of subscriptions) if (one.channel === channel) one.hear(payload ?? '');
    });
    await next.connect();
    client = next;
    for (const channel of new Set([...subscriptions].map((one) => one.channel))) await listen(next, channel);
  }

  function reconnectLater(ended: pg.Client): void {
    if (stopped || client !== ended) return;
    client = undefined;
    timer = setTimeout(() => {
      connect().then(
        () => subscriptions.forEach((one) => one.gap()),
        (error: Error) => {
          log.warn({ error: error.message }, 'listener cannot reconnect yet');
          client = undefined;
          retry();
        },
      );
    }, retryMs);
  }

  function retry(): void {
    if (stopped) return;
    timer = setTimeout(() => void connect().then(() => subscriptions.forEach((one) => one.gap()), retry), retryMs);
  }

  return {
    on(channel, hear, gap) {
      const subscription = { channel, hear, gap };
      subscriptions.add(subscription);
      if (client)
        void listen(client, channel).catch((error: Error) => log.warn({ error: error.message }, 'listen failed'));
      return () => void subscriptions.delete(subscription);
    },
    async start() {
      stopped = false;
      await connect();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await client?.end();
      client = undefined;
    },
  };
}

const listen = async (client: pg.Client, channel: string): Promise<void> => {
  await client.query(`listen ${pg.escapeIdentifier(channel)}`);
};
