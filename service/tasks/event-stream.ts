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
  /** Serves Server-Sent Events with `id` = `seq`, from after `Last-Event-ID`, until the task is finished. */
  serve(request: Request, response: Response, taskId: string): Promise<void>;
  /** Ends every stream; clients come back with `Last-Event-ID`. */
  drain(): void;
  readonly watchers: number;
}

interface Watcher {
  lastSeq: number;
  readonly push: (event: TaskEvent) => void;
  readonly end: () => void;
}

/** All watchers of one task in this process: one read of the database serves them all. */
interface Room {
  readonly watchers: Set<Watcher>;
  reading: boolean;
  again: boolean;
}

const pageSize = 500;

export function makeEventStream(parts: { database: Database; listener: Listener; log: Logger }): EventStream {
  const { database, listener, log } = parts;
  const rooms = new Map<string, Room>();

  async function catchUp(taskId: string, room: Room): Promise<void> {
    for (;;) {
      const from = Math.min(...[...room.watchers].map((one) => one.lastSeq));
      if (!Number.isFinite(from)) return;
      const events = await readEvents(database, taskId, from, pageSize);
      for (const event of events) for (const watcher of [...room.watchers]) deliver(watcher, event);
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

  listener.on(eventChannel, wake, () => [...rooms.keys()].forEach(wake));

  return {
    async serve(request, response, taskId) {
      const lastSeq = startOf(request);
      const session = await createSession(request, response, { retry: 1_000 });
      const room = rooms.get(taskId) ?? { watchers: new Set(), reading: false, again: false };
      const watcher: Watcher = {
        lastSeq,
        push: (event) => void session.push(event, event.type, String(event.seq)),
        end: () => response.end(),
      };
      session.once('disconnected', () => {
        room.watchers.delete(watcher);
        if (room.watchers.size === 0 && rooms.get(taskId) === room) rooms.delete(taskId);
      });
      room.watchers.add(watcher);
      rooms.set(taskId, room);
      wake(taskId);
    },
    drain() {
      for (const room of rooms.values()) for (const watcher of [...room.watchers]) watcher.end();
    },
    get watchers() {
      return [...rooms.values()].reduce((sum, room) => sum + room.watchers.size, 0);
    },
  };
}

function deliver(watcher: Watcher, event: TaskEvent): void {
  if (event.seq <= watcher.lastSeq) return;
  watcher.lastSeq = event.seq;
  watcher.push(event);
  if (event.type === 'task.finished') watcher.end();
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
