import { randomBytes, createHash } from 'node:crypto';

/** Where time comes from; tests move it by hand. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

/** Where ids and secrets come from. */
export interface Randomness {
  bytes(count: number): Buffer;
}

export const systemRandomness: Randomness = { bytes: (count) => randomBytes(count) };

/**
 * A UUIDv7: its first 48 bits are the time, so ids sort by age.
 *
 * Source: RFC 9562 §5.7
 */
export function uuidv7(clock: Clock = systemClock, randomness: Randomness = systemRandomness): string {
  const bytes = randomness.bytes(16);
  bytes.writeUIntBE(clock.now().getTime(), 0, 6);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A secret of 32 random bytes behind its prefix, and the hash under which it is stored. */
export function mintToken(prefix: string, randomness: Randomness = systemRandomness): { token: string; hash: Buffer } {
  const token = prefix + randomness.bytes(32).toString('base64url');
  return { token, hash: hashToken(token) };
}

export const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest();

export const isUuid = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);
