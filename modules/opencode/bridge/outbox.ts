import {
  limits,
  type Ask,
  type AttemptRef,
  type BridgeEventType,
  type BridgeRequests,
  type Evidence,
} from '../../contract.ts';
import type { EventData } from './events.ts';
import { keyOf, makeStoredResults, type StoredResultsParts } from './stored-results.ts';

export { keyOf } from './stored-results.ts';

export type EventPayload = BridgeRequests['event']['payload'];

/** What one attempt has to say to the service and has not been heard on yet. */
export interface AttemptOutbox {
  readonly ref: AttemptRef;
  event(type: BridgeEventType, data: EventData): void;
  ask(ask: Ask): void;
  /** The last word. From here on it is kept on disk until the service has taken it. */
  finish(evidence: Evidence): void;
  /** Forgets all of it: the attempt is not ours any more. */
  drop(): void;
}

/** The sending side of an outbox. */
export interface OutboxEntry {
  readonly ref: AttemptRef;
  readonly events: EventPayload[];
  readonly asks: Map<string, Ask>;
  result: Evidence | null;
  /** Takes events that the service has stored. */
  acknowledge(upTo: number): void;
  /** Replaces an event that the service cannot take, so that the sequence has no gap. */
  replace(sourceSeq: number): void;
  /** The whole entry is delivered. */
  close(): void;
}

export interface Outbox {
  open(ref: AttemptRef): AttemptOutbox;
  readonly entries: ReadonlyMap<string, OutboxEntry>;
  /** Called whenever there is something to send. */
  onChange(listener: () => void): void;
}

/** While the service is away text is left out first, then everything: the work goes on, the record has a gap. */
const maxTextEvents = 2_000;
const maxEvents = 10_000;

/**
 * Keeps messages until the service has acknowledged them.
 *
 * Events of a running attempt live in memory: if the bridge dies the attempt is lost and so are they. A result
 * lives on disk with the events before it, because the work it reports is done; `makeStoredResults` says why the
 * agent cannot forge one.
 */
export function makeOutbox({ now, ...storage }: StoredResultsParts & { readonly now: () => Date }): Outbox {
  const stored = makeStoredResults(storage);
  const entries = new Map<string, OutboxEntry>();
  let changed = (): void => undefined;

  function addEntry(ref: AttemptRef, events: EventPayload[], result: Evidence | null): OutboxEntry {
    const key = keyOf(ref);
    const entry: OutboxEntry = {
      ref,
      events,
      asks: new Map(),
      result,
      acknowledge(upTo) {
        while (events[0] && events[0].source_seq <= upTo) events.shift();
      },
      replace(sourceSeq) {
        const index = events.findIndex((event) => event.source_seq === sourceSeq);
        const old = events[index];
        if (old)
          events[index] = { ...old, type: 'bridge.notice', data: { notice: `An event (${old.type}) was refused.` } };
      },
      close() {
        if (entries.get(key) === entry) entries.delete(key);
        stored.forget(ref);
      },
    };
    entries.set(key, entry);
    return entry;
  }

  for (const { ref, events, result } of stored.read()) addEntry(ref, events, result);

  return {
    entries,
    onChange: (listener) => (changed = listener),
    open(ref) {
      const entry = addEntry(ref, [], null);
      let nextSeq = 1;
      const isOver = (): boolean => entry.result !== null || entries.get(keyOf(ref)) !== entry;
      return {
        ref,
        event(type, data) {
          const isFull = entry.events.length >= (type === 'message.text' ? maxTextEvents : maxEvents);
          if (isOver() || isFull) return;
          entry.events.push({ ...ref, source_seq: nextSeq++, type, at: now().toISOString(), data: fitting(data) });
          changed();
        },
        ask(ask) {
          if (isOver()) return;
          entry.asks.set(ask.ask_id, ask);
          changed();
        },
        finish(evidence) {
          if (isOver()) return;
          entry.result = evidence;
          entry.asks.clear();
          stored.keep({ ref, events: entry.events, result: evidence });
          changed();
        },
        drop: () => entry.close(),
      };
    },
  };
}

/** Data of an event is small by construction; what is not is replaced by a word. */
function fitting(data: EventData): EventData {
  return Buffer.byteLength(JSON.stringify(data)) <= limits.eventBytes - 1_024 ? data : { notice: 'too large' };
}
