import type { Listener } from '../platform/listener.ts';
import { eventChannel } from './task-events.ts';

/** Lets a request wait until something happens to a task, in any process. */
export interface TaskWatch {
  /** Resolves when the task has an event, when `ms` are over, when `signal` aborts or at the end of the process. */
  next(taskId: string, ms: number, signal: AbortSignal): Promise<void>;
  /** Ends every wait, now and from now on. */
  drain(): void;
  readonly isDraining: boolean;
}

export function makeTaskWatch(listener: Listener): TaskWatch {
  const waiting = new Map<string, Set<() => void>>();
  let isDraining = false;
  const wake = (taskId: string): void => waiting.get(taskId)?.forEach((resume) => resume());
  const wakeAll = (): void => [...waiting.keys()].forEach(wake);
  listener.on(eventChannel, wake, wakeAll);

  return {
    async next(taskId, ms, signal) {
      if (isDraining || signal.aborted) return;
      const resumes = waiting.get(taskId) ?? new Set<() => void>();
      waiting.set(taskId, resumes);
      let resume = (): void => undefined;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        resume = resolve;
        resumes.add(resume);
        timer = setTimeout(resolve, ms);
        signal.addEventListener('abort', resume, { once: true });
      });
      clearTimeout(timer);
      signal.removeEventListener('abort', resume);
      resumes.delete(resume);
      if (resumes.size === 0 && waiting.get(taskId) === resumes) waiting.delete(taskId);
    },
    drain() {
      isDraining = true;
      wakeAll();
    },
    get isDraining() {
      return isDraining;
    },
  };
}
