import type { Request, Response } from 'express';
import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Listener } from '../platform/listener.ts';
import type { Logger } from '../platform/logger.ts';
import { overSocket, overSse, type Pipe, type StreamEvent } from './event-pipe.ts';
import { taskEvents } from './task-events.ts';

/** Where the events of one kind of thing come from: tasks, workflows. */
export interface EventSource {
  /** On it an id says: there are new events. */
  readonly channel: string;
  /** Events after `afterSeq`, oldest first. */
  readonly read: (database: Database, id: string, afterSeq: number, limit: number) => Promise<readonly StreamEvent[]>;
  /** Number of the last event, and whether more may come. */
  readonly standOf: (database: Database, id: string) => Promise<{ lastSeq: number; isFinished: boolean }>;
  /** The type of the event after which nothing comes for now. */
  readonly lastType: string;
}

/** Tells watchers of a task or workflow what happens to it, from any point on, across replicas. */
export interface EventStream {
  /**
   * Serves Server-Sent Events with `id` = `seq`, from after `Last-Event-ID`, until the thing is finished.
   *
   * Answers 204, which ends a browser's reconnecting, when it is finished and the caller has seen everything.
   */
  serve(request: Request, response: Response, id: string): Promise<void>;
  /** The same events with the same numbers over a WebSocket, one JSON text each; closed with 1000 at the end. */
  serveSocket(request: IncomingMessage, socket: WebSocket, id: string): Promise<void>;
  /** Ends every stream; clients come back with `Last-Event-ID`. */
  drain(): void;
  readonly watchers: number;
}

export interface EventStreamParts {
  readonly database: Database;
  readonly listener: Listener;
  readonly log: Logger;
  /** Default: those of tasks. */
  readonly source?: EventSource;
  /** How often every stream looks for events that no notification told of, and says that it lives. */
  readonly lookEveryMs?: number;
  /** How long a watcher may leave what was sent unread before it is cut. */
  readonly blockedMs?: number;
}

interface Watcher {
  /** Number of the last event it took. */
  readonly lastSeq: () => number;
  /** Takes a page and sends what the caller reads of it; `isAll`: there is no more for now. */
  readonly take: (page: readonly StreamEvent[], isAll: boolean) => void;
  /** Whether the page before is sent and read. */
  readonly isReady: () => boolean;
  readonly beat: () => void;
  readonly drain: () => void;
}

/** All watchers of one thing in this process: one read of the database serves them all. */
interface Room {
  readonly watchers: Set<Watcher>;
  reading: boolean;
  again: boolean;
}

/** A watcher who does not read holds one page in memory; events may have 64 KiB each. */
const pageSize = 100;

export function makeEventStream(parts: EventStreamParts): EventStream {
  const { database, listener, log, source = taskEvents, lookEveryMs = 10_000, blockedMs = 60_000 } = parts;
  const rooms = new Map<string, Room>();
  let draining = false;

  async function catchUp(id: string, room: Room): Promise<void> {
    for (;;) {
      const readers = [...room.watchers].filter((one) => one.isReady());
      if (readers.length === 0) return;
      const from = Math.min(...readers.map((one) => one.lastSeq()));
      const events = await source.read(database, id, from, pageSize);
      for (const watcher of readers) watcher.take(events, events.length < pageSize);
      if (events.length < pageSize) return;
    }
  }

  function wake(id: string): void {
    const room = rooms.get(id);
    if (!room) return;
    if (room.reading) {
      room.again = true;
      return;
    }
    room.reading = true;
    void catchUp(id, room)
      .catch((error: Error) => log.warn({ error: error.message, id }, 'cannot read events'))
      .finally(() => {
        room.reading = false;
        if (room.again) {
          room.again = false;
          wake(id);
        }
      });
  }

  function enter(id: string, watcher: Watcher, pipe: Pipe): void {
    const room = rooms.get(id) ?? { watchers: new Set(), reading: false, again: false };
    pipe.onClose(() => {
      room.watchers.delete(watcher);
      if (room.watchers.size === 0 && rooms.get(id) === room) rooms.delete(id);
    });
    pipe.onDrain(() => wake(id));
    room.watchers.add(watcher);
    rooms.set(id, room);
    wake(id);
  }

  /** Sends what comes after `seen`, over whatever the watcher listens to. */
  function follow(id: string, pipe: Pipe, seen: number, { lastSeq, isFinished }: Stand): void {
    const start = { lastSeq: Math.min(seen, lastSeq), known: lastSeq, isLate: isFinished };
    const watcher = makeWatcher(pipe, source.lastType, start, blockedMs);
    if (draining) watcher.drain();
    else enter(id, watcher, pipe);
  }

  const wakeAll = (): void => [...rooms.keys()].forEach(wake);
  listener.on(source.channel, wake, wakeAll);
  const looking = setInterval(() => {
    for (const room of rooms.values()) room.watchers.forEach((one) => one.beat());
    wakeAll();
  }, lookEveryMs);
  looking.unref();

  return {
    async serve(request, response, id) {
      const seen = startOf(request);
      const stand = await source.standOf(database, id);
      if (stand.isFinished && seen >= stand.lastSeq) {
        response.status(204).setHeader('Cache-Control', 'no-store').end();
        return;
      }
      const pipe = await overSse(request, response);
      if (pipe) follow(id, pipe, seen, stand);
    },
    async serveSocket(request, socket, id) {
      const seen = startOf(request);
      const stand = await source.standOf(database, id);
      const pipe = overSocket(socket);
      if (stand.isFinished && seen >= stand.lastSeq) pipe.end('finished');
      else follow(id, pipe, seen, stand);
    },
    drain() {
      draining = true;
      clearInterval(looking);
      for (const room of rooms.values()) for (const watcher of [...room.watchers]) watcher.drain();
    },
    get watchers() {
      return [...rooms.values()].reduce((sum, room) => sum + room.watchers.size, 0);
    },
  };
}

interface Stand {
  readonly lastSeq: number;
  readonly isFinished: boolean;
}

/**
 * A watcher who does not read gets nothing more until its pipe drains, and is cut after `blockedMs`. `known` is the
 * number of the last event there was when it came: an end before that is history.
 */
function makeWatcher(
  pipe: Pipe,
  lastType: string,
  start: { lastSeq: number; known: number; isLate: boolean },
  blockedMs: number,
): Watcher {
  let lastSeq = start.lastSeq;
  let rest: readonly StreamEvent[] = [];
  let endsWithRest = false;
  let cut: NodeJS.Timeout | undefined;

  const cutLater = (): void => {
    cut ??= setTimeout(() => pipe.cut(), blockedMs);
    cut.unref();
  };
  const end = (why: 'finished' | 'draining'): void => {
    pipe.end(why);
    cutLater();
  };
  function send(): void {
    let sent = 0;
    for (const event of rest) {
      if (!pipe.isReady()) break;
      pipe.push(event);
      sent += 1;
      if (event.type === lastType && event.seq > start.known && !start.isLate) return end('finished');
    }
    rest = rest.slice(sent);
    if (rest.length === 0 && endsWithRest) end('finished');
    else if (pipe.isFull()) cutLater();
  }

  pipe.onDrain(() => {
    clearTimeout(cut);
    cut = undefined;
    send();
  });
  pipe.onClose(() => clearTimeout(cut));
  return {
    lastSeq: () => lastSeq,
    isReady: () => rest.length === 0 && pipe.isReady(),
    take(page, isAll) {
      rest = page.filter((event) => event.seq > lastSeq);
      lastSeq = rest.at(-1)?.seq ?? lastSeq;
      endsWithRest = start.isLate && isAll;
      send();
    },
    beat() {
      if (pipe.isReady() && !pipe.beat()) cutLater();
    },
    drain: () => end('draining'),
  };
}

/** `Last-Event-ID`, or `?last_event_id=` where a caller cannot set headers, like a browser's WebSocket. */
function startOf(request: IncomingMessage): number {
  const asked = new URL(request.url ?? '/', 'http://localhost').searchParams.get('last_event_id');
  const text = String(request.headers['last-event-id'] ?? asked ?? '0');
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ServiceError(
    'invalid',
    'last_event_id_invalid',
    'Last-Event-ID must be the number of the last event you saw.',
  );
}
