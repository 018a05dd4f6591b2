import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { Listener } from '../platform/listener.ts';
import { eventChannel } from './task-events.ts';
import { isKnown, isOver, readSnapshot } from './task-snapshot.ts';

export interface Wait {
  readonly actorId: string;
  /** What the caller's `If-None-Match` says; without it only the end of the task is news. */
  readonly known: string | undefined;
  readonly ms: number;
  readonly signal: AbortSignal;
}

/** Lets a request wait until there is something new to say of a task, in whichever process it happens. */
export interface TaskWatch {
  /**
   * Resolves when there is news, when `ms` are over, when `signal` aborts or at the end of the process.
   *
   * Errors  `rate_limited` when the actor has as many waits as one may.
   */
  wait(taskId: string, wait: Wait): Promise<void>;
  /** Ends every wait, now and from now on. */
  drain(): void;
}

export interface TaskWatchParts {
  readonly database: Database;
  readonly listener: Listener;
  /** No task is looked at more often, however many events it has. */
  readonly lookAtMostEveryMs?: number;
  /** A change without an event, such as the reason why a task waits, is seen by then. */
  readonly lookAnywayMs?: number;
}

interface Waiter {
  readonly known: string | undefined;
  readonly end: (error?: Error) => void;
}

/** All who wait for one task in this process: one look serves them all. */
interface Room {
  readonly waiters: Set<Waiter>;
  isLooking: boolean;
  /** Something happened during the look. */
  again: boolean;
  lookedAt: number;
  timer: NodeJS.Timeout | undefined;
  dueAt: number;
}

/** Of one actor in one process. */
const mostWaits = 8;
const retryAfterSeconds = 5;

export function makeTaskWatch(parts: TaskWatchParts): TaskWatch {
  const { database, listener, lookAtMostEveryMs = 250, lookAnywayMs = 5_000 } = parts;
  const rooms = new Map<string, Room>();
  const waits = new Map<string, number>();
  let isDraining = false;

  function lookBy(taskId: string, room: Room, at: number): void {
    if (room.timer && room.dueAt <= at) return;
    clearTimeout(room.timer);
    room.dueAt = at;
    room.timer = setTimeout(() => void look(taskId, room), Math.max(at - performance.now(), 0));
  }

  async function look(taskId: string, room: Room): Promise<void> {
    Object.assign(room, { timer: undefined, isLooking: true, again: false, lookedAt: performance.now() });
    // Whoever comes during the look may know more than it sees.
    const waiters = [...room.waiters];
    try {
      const hasNews = await findNews(database, taskId, waiters);
      for (const waiter of waiters) if (hasNews(waiter)) waiter.end();
    } catch (error) {
      for (const waiter of waiters) waiter.end(error as Error);
    }
    room.isLooking = false;
    if (room.waiters.size > 0) lookBy(taskId, room, room.lookedAt + (room.again ? lookAtMostEveryMs : lookAnywayMs));
  }

  function wake(taskId: string): void {
    const room = rooms.get(taskId);
    if (room?.isLooking) room.again = true;
    else if (room) lookBy(taskId, room, room.lookedAt + lookAtMostEveryMs);
  }

  function enter(taskId: string, waiter: Waiter): void {
    const room = rooms.get(taskId) ?? emptyRoom();
    rooms.set(taskId, room);
    room.waiters.add(waiter);
    wake(taskId);
  }

  function leave(taskId: string, waiter: Waiter): void {
    const room = rooms.get(taskId);
    room?.waiters.delete(waiter);
    if (room?.waiters.size !== 0) return;
    clearTimeout(room.timer);
    rooms.delete(taskId);
  }

  async function untilNews(taskId: string, { known, ms, signal }: Wait): Promise<void> {
    let tidy = (): void => undefined;
    const news = new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { known, end: (error) => (error ? reject(error) : resolve()) };
      const timer = setTimeout(resolve, ms);
      const stop = (): void => resolve();
      signal.addEventListener('abort', stop, { once: true });
      enter(taskId, waiter);
      tidy = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
        leave(taskId, waiter);
      };
    });
    await news.finally(tidy);
  }

  listener.on(eventChannel, wake, () => [...rooms.keys()].forEach(wake));

  return {
    async wait(taskId, wait) {
      if (isDraining || wait.signal.aborted) return;
      const uncount = count(waits, wait.actorId);
      await untilNews(taskId, wait).finally(uncount);
    },
    drain() {
      isDraining = true;
      for (const room of rooms.values()) for (const waiter of [...room.waiters]) waiter.end();
    },
  };
}

/** Counts a wait of an actor; the answer says that it is over. Throws `rate_limited`. */
function count(waits: Map<string, number>, actorId: string): () => void {
  const mine = waits.get(actorId) ?? 0;
  if (mine >= mostWaits) throw tooManyWaits();
  waits.set(actorId, mine + 1);
  return () => {
    const left = (waits.get(actorId) ?? 1) - 1;
    if (left > 0) waits.set(actorId, left);
    else waits.delete(actorId);
  };
}

const emptyRoom = (): Room => ({
  waiters: new Set(),
  isLooking: false,
  again: false,
  lookedAt: -Infinity,
  timer: undefined,
  dueAt: Infinity,
});

/** For whom there is news. All of a task is read only where somebody says what it was. */
async function findNews(
  database: Database,
  taskId: string,
  waiters: readonly Waiter[],
): Promise<(waiter: Waiter) => boolean> {
  if (waiters.every(({ known }) => known === undefined)) {
    const ended = await isOver(database, taskId);
    return () => ended;
  }
  const { etag, isFinished } = await readSnapshot(database, taskId);
  return ({ known }) => isFinished || (known !== undefined && !isKnown(known, etag));
}

const tooManyWaits = (): ServiceError =>
  new ServiceError(
    'rate_limited',
    'too_many_waits',
    `You wait for ${mostWaits} answers at once already, which is as many as one may. Ask without ?wait=, or wait for fewer tasks; the events of a task stream without such a bound.`,
    { retryAfterSeconds },
  );
