import type { Clock } from '../../service/platform/clock.ts';

export interface TestClock extends Clock {
  advance(milliseconds: number): void;
}

/** A clock that runs with real time but can be moved ahead. */
export function makeTestClock(): TestClock {
  let aheadMs = 0;
  return {
    now: () => new Date(Date.now() + aheadMs),
    advance: (milliseconds) => {
      aheadMs += milliseconds;
    },
  };
}

/** Asks again and again until `find` answers something; fails after `deadlineMs` with what it waited for. */
export async function eventually<Found>(
  what: string,
  find: () => Promise<Found | undefined | null | false>,
  deadlineMs = 120_000,
): Promise<Found> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const found = await find();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > end) throw new Error(`Waited ${deadlineMs} ms in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
