import pg from 'pg';
import type { Logger } from './logger.ts';

/** Hears NOTIFY on one dedicated connection and keeps that connection alive. */
export interface Listener {
  /** Calls `hear` with each payload on `channel`. `gap` runs after a reconnection, when payloads may have been missed. */
  on(channel: string, hear: (payload: string) => void, gap: () => void): () => void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface ListenerOptions {
  readonly url: string;
  readonly log: Logger;
  readonly retryMs?: number;
  /** How often the connection is asked whether it still answers: a peer that vanished says nothing by itself. */
  readonly probeMs?: number;
  /** How long one answer may take. */
  readonly answerMs?: number;
}

/** How long `stop` waits for a peer that may be gone. */
const goodbyeMs = 1_000;

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
export function makeListener(options: ListenerOptions): Listener {
  const { url, log, retryMs = 1_000, probeMs = 15_000, answerMs = 5_000 } = options;
  const subscriptions = new Set<Subscription>();
  /** The only connection: the one in use or the one that is being made. */
  let client: pg.Client | undefined;
  let isListening = false;
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;

  async function connect(): Promise<void> {
    const next = new pg.Client({ connectionString: url, keepAlive: true, connectionTimeoutMillis: answerMs });
    client = next;
    next.on('error', (error) => log.warn({ error: error.message }, 'listener connection failed'));
    next.on('end', () => lose(next));
    next.on('notification', ({ channel, payload }) => {
      if (client === next) for (const one of subscriptions) if (one.channel === channel) one.hear(payload ?? '');
    });
    try {
      await next.connect();
      isListening = true;
      for (const channel of new Set([...subscriptions].map((one) => one.channel)))
        await within(answerMs, listen(next, channel));
    } catch (error) {
      abandon(next);
      throw error;
    }
    if (client === next) later(probeMs, () => probe(next));
  }

  async function probe(probed: pg.Client): Promise<void> {
    if (client !== probed) return;
    try {
      await within(answerMs, probed.query('select 1'));
      later(probeMs, () => probe(probed));
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'listener connection does not answer');
      lose(probed);
    }
  }

  /** The one way back: whatever ended a connection comes here, once. */
  function lose(lost: pg.Client): void {
    if (client !== lost) return;
    abandon(lost);
    later(retryMs, reconnect);
  }

  async function reconnect(): Promise<void> {
    if (client) return;
    try {
      await connect();
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'listener cannot reconnect yet');
      if (!client) later(retryMs, reconnect);
      return;
    }
    subscriptions.forEach((one) => one.gap());
  }

  function abandon(old: pg.Client): void {
    if (client === old) {
      client = undefined;
      isListening = false;
    }
    // While a query hangs, `end` cuts the connection instead of waiting for a peer that is gone.
    old.end().catch(() => undefined);
  }

  /** At most one step is ever planned. */
  function later(milliseconds: number, step: () => Promise<void>): void {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(() => void step(), milliseconds);
    timer.unref();
  }

  return {
    on(channel, hear, gap) {
      const subscription = { channel, hear, gap };
      subscriptions.add(subscription);
      const current = client;
      if (current && isListening)
        void within(answerMs, listen(current, channel)).catch((error: unknown) => {
          log.warn({ error: messageOf(error) }, 'listen failed');
          lose(current);
        });
      return () => void subscriptions.delete(subscription);
    },
    async start() {
      stopped = false;
      try {
        await connect();
      } catch (error) {
        stopped = true;
        clearTimeout(timer);
        throw error;
      }
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      const last = client;
      client = undefined;
      isListening = false;
      if (last) await within(goodbyeMs, last.end()).catch(() => undefined);
    },
  };
}

const listen = async (client: pg.Client, channel: string): Promise<void> => {
  await client.query(`listen ${pg.escapeIdentifier(channel)}`);
};

async function within<Result>(milliseconds: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
