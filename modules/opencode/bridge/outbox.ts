import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  limits,
  type Ask,
  type AttemptRef,
  type BridgeEventType,
  type BridgeRequests,
  type Evidence,
} from '../../contract.ts';
import type { EventData } from './events.ts';

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

export const keyOf = ({ task_id, attempt }: AttemptRef): string => `${task_id}.${attempt}`;

/** While the service is away text is left out first, then everything: the work goes on, the record has a gap. */
const maxTextEvents = 2_000;
const maxEvents = 10_000;

interface Stored {
  readonly ref: AttemptRef;
  readonly events: EventPayload[];
  readonly result: Evidence;
}

/**
 * Keeps messages until the service has acknowledged them.
 *
 * Events of a running attempt live in memory: if the bridge dies the attempt is lost and so are they. A result
 * lives on disk with the events before it, because the work it reports is done.
 */
export function makeOutbox(directory: string, now: () => Date): Outbox {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const entries = new Map<string, OutboxEntry>();
  let changed = (): void => undefined;

  const fileOf = (ref: AttemptRef): string => join(directory, `${keyOf(ref)}.json`);

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
        rmSync(fileOf(ref), { force: true });
      },
    };
    entries.set(key, entry);
    return entry;
  }

  for (const stored of readStored(directory)) addEntry(stored.ref, stored.events, stored.result);

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
          try {
            store(fileOf(ref), { ref, events: entry.events, result: evidence });
          } finally {
            // A full disk must not keep a result from being sent.
            changed();
          }
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

function store(file: string, value: Stored): void {
  writeFileSync(`${file}.next`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${file}.next`, file);
}

function readStored(directory: string): Stored[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(join(directory, name), 'utf8')) as Stored];
      } catch {
        rmSync(join(directory, name), { force: true });
        return [];
      }
    });
}
