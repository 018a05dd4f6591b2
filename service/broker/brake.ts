import type { Clock } from '../platform/clock.ts';
import { tooManyRequests } from './faults.ts';

/** What git itself never needs at once, nor a task in a minute. */
const mostAtOnce = 4;
const mostPerMinute = 240;
const windowMs = 60_000;
const mostRemembered = 10_000;

/** Keeps one task from taking the broker for itself. */
export interface Brake {
  /** Counts a request; the answer says that it is over. Throws `rate_limited`. */
  enter(taskId: string): () => void;
}

export function makeBrake(clock: Clock): Brake {
  const tasks = new Map<string, { open: number; since: number; count: number }>();
  return {
    enter(taskId) {
      const now = clock.now().getTime();
      if (tasks.size > mostRemembered)
        for (const [id, { open, since }] of tasks) if (open === 0 && now - since > windowMs) tasks.delete(id);
      const task = tasks.get(taskId) ?? { open: 0, since: now, count: 0 };
      tasks.set(taskId, task);
      if (now - task.since > windowMs) Object.assign(task, { since: now, count: 0 });
      if (task.open >= mostAtOnce || task.count >= mostPerMinute) throw tooManyRequests();
      task.open += 1;
      task.count += 1;
      return () => {
        task.open -= 1;
      };
    },
  };
}
