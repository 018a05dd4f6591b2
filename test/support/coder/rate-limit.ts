import { refuse, type Answer } from './answers.ts';

const windowMs = 60_000;

export interface Allowance {
  readonly headers: Readonly<Record<string, string>>;
  /** The refusal when the limit is passed. */
  readonly refused: Answer | null;
}

/** Coder's limit: so many requests a minute per user (or address) and path, told in `X-Ratelimit-*` on every answer. */
export function makeRateLimit(now: () => number): (who: string, path: string, limit: number) => Allowance {
  const counts = new Map<string, { count: number; resetsAt: number }>();
  return (who, path, limit) => {
    const key = `${who} ${path}`;
    const known = counts.get(key);
    const entry = known && known.resetsAt > now() ? known : { count: 0, resetsAt: now() + windowMs };
    entry.count += 1;
    counts.set(key, entry);
    const headers = {
      'X-Ratelimit-Limit': String(limit),
      'X-Ratelimit-Remaining': String(Math.max(0, limit - entry.count)),
      'X-Ratelimit-Reset': String(Math.ceil(entry.resetsAt / 1_000)),
    };
    if (entry.count <= limit) return { headers, refused: null };
    const refusal = refuse(429, `You've been rate limited for sending more than ${limit} requests in 1m0s.`);
    return { headers, refused: { ...refusal, headers: { 'Retry-After': '60' } } };
  };
}
