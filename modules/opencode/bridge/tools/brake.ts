/** Says whether one more may be done now. */
export type Brake = () => boolean;

/** A token bucket: `burst` at once, and `perSecond` more with each second. */
export function makeBrake(parts: { burst: number; perSecond: number; nowMs: () => number }): Brake {
  let tokens = parts.burst;
  let at = parts.nowMs();
  return () => {
    const now = parts.nowMs();
    tokens = Math.min(parts.burst, tokens + ((now - at) / 1_000) * parts.perSecond);
    at = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
