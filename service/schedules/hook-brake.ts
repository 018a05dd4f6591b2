import type { Clock } from '../platform/clock.ts';
import { ServiceError } from '../platform/errors.ts';

const windowMs = 60_000;
/** From one address, proven or not: a gateway in front may stand for many senders. */
const mostFromAddress = 600;
/** New deliveries of one webhook: each may start work. */
const mostOfWebhook = 60;
export const mostRemembered = 10_000;

/** Counts requests in this process. Throws `rate_limited`, with when to come back. */
export interface HookBrake {
  anybody(address: string): void;
  webhook(id: string): void;
}

export function makeHookBrake(clock: Clock): HookBrake {
  const countAddress = makeCounter(clock);
  // By itself: whoever sends from many addresses makes it forget no webhook.
  const countWebhook = makeCounter(clock);
  return {
    anybody: (address) => countAddress(address, mostFromAddress),
    webhook: (id) => countWebhook(id, mostOfWebhook),
  };
}

function makeCounter(clock: Clock): (key: string, most: number) => void {
  const counts = new Map<string, { since: number; count: number }>();
  return (key, most) => {
    const now = clock.now().getTime();
    const known = counts.get(key);
    const entry = known && now - known.since <= windowMs ? known : { since: now, count: 0 };
    // Stays in the order of `since`, so what is forgotten first is the oldest.
    if (entry !== known) counts.delete(key);
    counts.set(key, entry);
    for (const [one] of counts) {
      if (counts.size <= mostRemembered) break;
      counts.delete(one);
    }
    entry.count += 1;
    if (entry.count > most) throw tooMany(Math.ceil((entry.since + windowMs - now) / 1_000));
  };
}

const tooMany = (retryAfterSeconds: number): ServiceError =>
  new ServiceError('rate_limited', 'too_many_events', 'Too many events at once. Send them again later.', {
    retryAfterSeconds,
  });
