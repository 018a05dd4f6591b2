import type { Request } from 'express';
import { tooMuchAtOnce } from './faults.ts';

/** Of requests of one task, each kept until it is answered. More could take the memory of the service from others. */
const bytesAtMost = 128 * 1024 * 1024;
/** A small request holds more than its bytes. */
const leastBytes = 1024 * 1024;

/** What requests of a task may hold at once. */
export interface BodyPlaces {
  /** Counts a request before it is read; the answer takes it out again. Throws a `ModelFault` where it is too much. */
  enter(taskId: string, bytes: number): () => void;
}

export function makeBodyPlaces(): BodyPlaces {
  const held = new Map<string, number>();
  return {
    enter(taskId, bytes) {
      const counted = Math.max(leastBytes, bytes);
      const before = held.get(taskId) ?? 0;
      if (before + counted > bytesAtMost) throw tooMuchAtOnce();
      held.set(taskId, before + counted);
      return () => {
        const left = (held.get(taskId) ?? 0) - counted;
        if (left > 0) held.set(taskId, left);
        else held.delete(taskId);
      };
    },
  };
}

/** The bytes that a request says it has; one that does not say may have all that it may. */
export function bytesOf(request: Request, limitBytes: number): number {
  const said = Number(request.headers['content-length'] ?? limitBytes);
  return Number.isSafeInteger(said) ? Math.min(said, limitBytes) : limitBytes;
}
