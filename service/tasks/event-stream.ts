import type { Request, Response } from 'express';
import { createSession } from 'better-sse';
import type { TaskEvent } from '../../modules/contract.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Listener } from '../platform/listener.ts';
import type { Logger } from '../platform/logger.ts';
import { eventChannel, readEvents } from './task-events.ts';

/** Tells watchers of a task what happens to it, from any point on, across replicas. */
export interface EventStream {
  /**
   * Serves Server-Sent Events with `id` = `seq`, from after `Last-Event-ID`, until the task is finished.
   *
   * Answers 204, which ends a browser's reconnecting, when the task is finished and the caller has seen everything.
   */
  serve(request: Request, response: Response, taskId: string): Promise<void>;
  /** Ends every stream; clients come back with `Last-Event-ID`. */
  drain(): void;
  readonly watchers: number;
}

export interface EventStreamParts {
  readonly database: Database;
  readonly listener: Listener;
  readonly log: Logger;
  /** How often every stream looks for events that no notification told of, and says that it lives. */
  readonly lookEveryMs?: number;
  /** How long a watcher may leave what was sent unread before it is cut. */
  readonly blockedMs?: number;
}

interface Watcher {
  /** Number of the last event it took. */
  readonly lastSeq: () => number;
  /** Takes a page and sends what the caller reads of it; `isAll`: there is no more for now. */
  readonly take: (page: readonly TaskEvent[], isAll: boolean) => void;
  /** Whether the page before is sent and read. */
  readonly isReady: () => boolean;
  readonly beat: () => void;
  readonly end: () => void;
}

/** All watchers of one task in this process: one read of the database serves them all. */
interface Room {
  readonly watchers: Set<Watcher>;
  reading: boolean;
  again: boolean;
}

/** A watcher who does not read holds one page in memory; events may have 64 KiB each. */
const pageSize = 100;

export function makeEventStream(parts: EventStreamParts): EventStream {
  const { database, listener, log, lookEveryMs = 10_000, blockedMs = 60_000 } = parts;
  const rooms = new Map<string, Room>();
  let draining = false;

  async function catchUp(taskId: string, room: Room): Promise<void> {
    for (;;) {
      const readers = [...room.watchers].filter((one) => one.isReady());
      if (readers.length === 0) return;
      const from = Math.min(...readers.map((one) => one.lastSeq()));
      const events = await readEvents(database, taskId, from, pageSize);
      for (const watcher of readers) watcher.take(events, events.length < pageSize);
      if (events.length < pageSize) return;
    }
  }

  function wake(taskId: string): void {
    const room = rooms.get(taskId);
    if (!room) return;
    if (room.reading) {
      room.again = true;
      return;
    }
    room.reading = true;
    void catchUp(taskId, room)
      .catch((error: Error) => log.warn({ error: error.message, taskId }, 'cannot read events'))
      .finally(() => {
        room.reading = false;
        if (room.again) {
          room.again = false;
          wake(taskId);
        }
      });
  }

  function enter(taskId: string, watcher: Watcher, response: Response): void {
    const room = rooms.get(taskId) ?? { watchers: new Set(), reading: false, again: false };
    response.once('close', () => {
      room.watchers.delete(watcher);
      if (room.watchers.size === 0 && rooms.get(taskId) === room) rooms.delete(taskId);
    });
    response.on('drain', () => wake(taskId));
    room.watchers.add(watcher);
    rooms.set(taskId, room);
    wake(taskId);
  }

  const wakeAll = (): void => [...rooms.keys()].forEach(wake);
  listener.on(eventChannel, wake, wakeAll);
  const looking = setInterval(() => {
    for (const room of rooms.values()) room.watchers.forEach((one) => one.beat());
    wakeAll();
  }, lookEveryMs);
  looking.unref();

  return {
    async serve(request, response, taskId) {
      const seen = startOf(request);
      const { lastSeq, isFinished } = await standOf(database, taskId);
      if (isFinished && seen >= lastSeq) {
        response.status(204).setHeader('Cache-Control', 'no-store').end();
        return;
      }
      if (response.destroyed) return;
      // The session's own keep-alive would outlive a caller who leaves before it begins.
      const session = await createSession(request, response, { retry: 1_000, keepAlive: null });
      if (response.destroyed) return;
      const push = (event: TaskEvent): void => void session.push(event, event.type, String(event.seq));
      const start = { lastSeq: Math.min(seen, lastSeq), isLate: isFinished };
      const watcher = makeWatcher(response, push, start, blockedMs);
      if (draining) watcher.end();
      else enter(taskId, watcher, response);
    },
    drain() {
      draining = true;
      clearInterval(looking);
      for (const room of rooms.values()) for (const watcher of [...room.watchers]) watcher.end();
    },
    get watchers() {
      return [...rooms.values()].reduce((sum, room) => sum + room.watchers.size, 0);
    },
  };
}

/** A watcher who does not read gets nothing more until the response drains, and is cut after `blockedMs`. */
function makeWatcher(
  response: Response,
  push: (event: TaskEvent) => void,
  start: { lastSeq: number; isLate: boolean },
  blockedMs: number,
): Watcher {
  let lastSeq = start.lastSeq;
  let rest: readonly TaskEvent[] = [];
  let endsWithRest = false;
  let cut: NodeJS.Timeout | undefined;

  const isOpen = (): boolean => !response.destroyed && !response.writableEnded && !response.writableNeedDrain;
  const cutLater = (): void => {
    cut ??= setTimeout(() => response.destroy(), blockedMs);
    cut.unref();
  };
  const end = (): void => {
    response.end();
    cutLater();
  };
  function send(): void {
    let sent = 0;
    for (const event of rest) {
      if (!isOpen()) break;
      push(event);
      sent += 1;
      if (event.type === 'task.finished' && !start.isLate) return end();
    }
    rest = rest.slice(sent);
    if (rest.length === 0 && endsWithRest) end();
    else if (response.writableNeedDrain) cutLater();
  }

  response.on('drain', () => {
    clearTimeout(cut);
    cut = undefined;
    send();
  });
  response.once('close', () => clearTimeout(cut));
  return {
    lastSeq: () => lastSeq,
    isReady: () => rest.length === 0 && isOpen(),
    take(page, isAll) {
      rest = page.filter((event) => event.seq > lastSeq);
      lastSeq = rest.at(-1)?.seq ?? lastSeq;
      endsWithRest = start.isLate && isAll;
      send();
    },
    beat() {
      if (isOpen() && !response.write(':\n\n')) cutLater();
    },
    end,
  };
}

/** Number of a task's last event, and whether more may come. */
async function standOf(database: Database, taskId: string): Promise<{ lastSeq: number; isFinished: boolean }> {
  const row = await database
    .as<{ task: { id: string; event_seq: number; state: string } }>()
    .selectFrom('task')
    .select(['event_seq', 'state'])
    .where('id', '=', taskId)
    .executeTakeFirst();
  return { lastSeq: row?.event_seq ?? 0, isFinished: row?.state === 'finished' };
}

function startOf(request: Request): number {
  const text = request.get('Last-Event-ID') ?? '0';
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ServiceError(
    'invalid',
    'last_event_id_invalid',
    'Last-Event-ID must be the number of the last event you saw.',
  );
}
