import { CoderError } from 'coder-sdk-ts';
import type { Clock } from './template-context.ts';

/** Coder takes twelve uploads a minute from one person. Source: coder/coder coderd/coderd.go (`/files`). */
export const uploadPace = { most: 12, windowMs: 60_000 } as const;

/** How often Coder may say that it is too early before a push gives up. */
const waitsAtMost = 3;

export interface Pace {
  /** Performs it as soon as its turn comes, and again as often as Coder says that it came too early. */
  <Answer>(act: () => Promise<Answer>): Promise<Answer>;
}

/**
 * Holds calls to so many in a sliding window, and to what Coder says in `Retry-After`, since uploads of other commands
 * count there too.
 */
export function makePace(options: {
  readonly most: number;
  readonly windowMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}): Pace {
  const { most, windowMs, clock, signal, tell } = options;
  let begun: readonly number[] = [];
  const pause = async (ms: number): Promise<void> => {
    tell(`Coder takes ${most} uploads a minute; waiting ${Math.ceil(ms / 1000)} s.`);
    await clock.sleep(ms, signal);
  };
  const turn = async (): Promise<void> => {
    begun = begun.filter((at) => at > clock.nowMs() - windowMs);
    const oldest = begun.length < most ? undefined : begun[0];
    if (oldest !== undefined) await pause(oldest + windowMs - clock.nowMs());
    begun = [...begun, clock.nowMs()];
  };
  return async (act) => {
    for (let waits = 0; ; waits += 1) {
      await turn();
      try {
        return await act();
      } catch (error) {
        const isEarly = error instanceof CoderError && error.kind === 'rate_limited';
        if (!isEarly || waits === waitsAtMost) throw error;
        await pause((error.retryAfterSeconds ?? windowMs / 1000) * 1000);
      }
    }
  };
}
