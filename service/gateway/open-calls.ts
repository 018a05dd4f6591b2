import type { TaskIdentity } from './gateway-store.ts';
import type { Fuse } from './upstream.ts';

/** The calls this process is making, so that a stop can end them. A call is open until its row is closed. */
export interface OpenCalls {
  /** Registers a call; the answer takes it out again. */
  enter(identity: TaskIdentity, fuse: Fuse): () => void;
  count(taskId: string): number;
  /** Ends the upstream connections of a task and says how many there were. */
  abort(taskId: string): number;
  abortAll(): void;
  /** Resolves when no call is open. */
  drained(): Promise<void>;
}

export function makeOpenCalls(): OpenCalls {
  const open = new Map<Fuse, string>();
  const waiting = new Set<() => void>();
  const of = (taskId: string): Fuse[] => [...open].flatMap(([fuse, owner]) => (owner === taskId ? [fuse] : []));
  return {
    enter(identity, fuse) {
      open.set(fuse, identity.taskId);
      return () => {
        open.delete(fuse);
        if (open.size > 0) return;
        for (const wake of waiting) wake();
        waiting.clear();
      };
    },
    count: (taskId) => of(taskId).length,
    abort(taskId) {
      const fuses = of(taskId);
      for (const fuse of fuses) fuse.end('stopped');
      return fuses.length;
    },
    abortAll() {
      for (const fuse of open.keys()) fuse.end('stopped');
    },
    drained: () => (open.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.add(resolve))),
  };
}
