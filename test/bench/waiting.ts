import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds since 1970 with a fraction. */
export const nowMs = (): number => performance.timeOrigin + performance.now();

/** Answers what `work` answers, or rejects with what could not be done in time. The work itself is not ended. */
export async function within<Result>(limitMs: number, what: string, work: Promise<Result>): Promise<Result> {
  const timer = new AbortController();
  const late = sleep(limitMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} was not done within ${Math.round(limitMs / 1_000)} s.`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    late.catch(() => undefined);
    timer.abort();
  }
}

/** Looks every `everyMs` until it is so. */
export async function until(condition: () => Promise<boolean> | boolean, everyMs: number): Promise<void> {
  while (!(await condition())) await sleep(everyMs);
}

/** Runs `work` for 0 … `count`-1, `lanes` at a time. */
export async function inLanes(count: number, lanes: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await work(index);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
