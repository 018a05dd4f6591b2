import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { runFiles } from '../../contract.ts';
import type { Log } from './log.ts';

/** Whether the worker has done what no code of an agent may run beside. */
export interface WorkerWatch {
  /** Looks, until it was so once. */
  isReady(): boolean;
  end(): void;
}

export interface WorkerWatchParts {
  /** False: the worker counts as ready, and nothing is looked at. */
  readonly isAwaited: boolean;
  /** The directory that worker and sidecar share. */
  readonly directory: string;
  readonly log: Log;
  /** Called once, when a worker that was waited for is ready. */
  readonly onReady: () => void;
  readonly nowMs: () => number;
  readonly lookMs?: number;
}

/** The clones have ended; the port of the IDE is taken, because the helper opens its gate before it says anything. */
const signs = [runFiles.cloned, runFiles.ideState] as const;

const lookMsDefault = 1_000;
const sayAgainMs = 60_000;

/**
 * Waits for a worker that starts at the same time as the bridge, however long it takes, and says so each minute.
 *
 * While the worker starts it copies a clone into the shared workspace and opens the port at which the person will look
 * for the IDE. Code of an agent could swap the one for a link into the person's home, and take the other. Before the
 * first attempt there is no such code, so the files looked at are the worker's word.
 */
export function watchWorker(parts: WorkerWatchParts): WorkerWatch {
  const { isAwaited, directory, log, onReady, nowMs, lookMs = lookMsDefault } = parts;
  const startedMs = nowMs();
  let wasReady = !isAwaited;
  let saidMs: number | null = null;

  function isReady(): boolean {
    if (wasReady) return true;
    const missing = signs.filter((name) => !isFile(join(directory, name)));
    wasReady = missing.length === 0;
    if (wasReady) {
      if (saidMs !== null) log('info', 'the worker is ready', { waited_ms: Math.round(nowMs() - startedMs) });
    } else if (saidMs === null || nowMs() - saidMs >= sayAgainMs) {
      log(saidMs === null ? 'info' : 'warn', 'no work is taken before the worker is ready', {
        missing,
        waited_ms: Math.round(nowMs() - startedMs),
      });
      saidMs = nowMs();
    }
    return wasReady;
  }

  if (isReady()) return { isReady, end: () => undefined };
  const timer = setInterval(() => {
    if (!isReady()) return;
    clearInterval(timer);
    // Never from isReady itself: its caller is about to do the same.
    onReady();
  }, lookMs);
  timer.unref();
  return { isReady, end: () => clearInterval(timer) };
}

function isFile(path: string): boolean {
  try {
    return lstatSync(path).isFile();
  } catch {
    return false;
  }
}
