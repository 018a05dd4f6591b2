import { behind, type Route } from '../platform/http.ts';
import { fireDue } from './fire.ts';
import type { HookParts } from './receive-hook.ts';
import { schedulesRoutes } from './schedules-routes.ts';
import { forgetOldDeliveries } from './webhook-store.ts';
import { webhooksRoutes } from './webhooks-routes.ts';

/** What begins by itself: at its time, or when an event comes. */
export interface Schedules {
  readonly routes: readonly Route[];
  /** Decides what is due now, once. */
  fireNow(): Promise<void>;
  /** Looks for what is due every `intervalMs`. */
  start(intervalMs: number): void;
  /** Lets the open pass end. */
  stop(): Promise<void>;
}

/** So many batches without a rest; more than that waits for the next look. */
const batchesPerPass = 10;
const forgetEveryMs = 3_600_000;

export function makeSchedules(parts: HookParts): Schedules {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let forgotAt = 0;

  async function pass(): Promise<void> {
    const now = parts.clock.now();
    if (now.getTime() - forgotAt > forgetEveryMs) {
      forgotAt = now.getTime();
      await forgetOldDeliveries(parts.database, now);
    }
    for (let batch = 1; batch <= batchesPerPass; batch += 1) {
      if ((await fireDue(parts)) === 0) return;
      parts.admitSoon();
    }
  }

  function fireNow(): Promise<void> {
    running ??= pass().finally(() => (running = undefined));
    return running;
  }

  return {
    routes: [...behind('schedules', schedulesRoutes(parts)), ...behind('webhooks', webhooksRoutes(parts))],
    fireNow,
    start(intervalMs) {
      timer = setInterval(() => {
        fireNow().catch((error: unknown) => parts.log.error({ error }, 'looking for due schedules failed'));
      }, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      await running?.catch(() => undefined);
    },
  };
}
