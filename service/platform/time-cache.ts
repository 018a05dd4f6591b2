import type { Clock } from './clock.ts';

/** Remembers answers for a while; whoever asks meanwhile, also for one that is being made, gets the same. */
export interface TimeCache<Value> {
  get(key: string, make: () => Promise<Value>): Promise<Value>;
}

/** Keeps each answer for `ttlMs` from when it was there, and none that failed; at most `most` of them, newest first. */
export function makeTimeCache<Value>(options: {
  readonly clock: Clock;
  readonly ttlMs: number;
  readonly most: number;
}): TimeCache<Value> {
  const { clock, ttlMs, most } = options;
  const entries = new Map<string, { readonly answer: Promise<Value>; until: number }>();

  function makeRoom(now: number): void {
    for (const [key, { until }] of entries) if (until <= now) entries.delete(key);
    for (const key of entries.keys()) {
      if (entries.size < most) return;
      entries.delete(key);
    }
  }

  return {
    get(key, make) {
      const now = clock.now().getTime();
      const found = entries.get(key);
      if (found && found.until > now) return found.answer;
      entries.delete(key);
      if (entries.size >= most) makeRoom(now);
      const entry = { answer: make(), until: Number.POSITIVE_INFINITY };
      entries.set(key, entry);
      entry.answer.then(
        () => (entry.until = clock.now().getTime() + ttlMs),
        () => entries.get(key) === entry && entries.delete(key),
      );
      return entry.answer;
    },
  };
}
