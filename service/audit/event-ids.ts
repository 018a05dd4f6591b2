import { systemRandomness, uuidv7, type Randomness } from '../platform/clock.ts';

/**
 * UUIDv7s that also sort by age within one millisecond, so that an intent is listed before its outcome.
 *
 * Shape   the 12 bits after the time count the ids of that millisecond; a 4097th would sort as its first.
 * Source  RFC 9562 §6.2, method 1
 */
export function makeEventIds(randomness: Randomness = systemRandomness): (at: Date) => string {
  let lastMs = 0;
  let count = 0;
  const counted: Randomness = {
    bytes(length) {
      const bytes = randomness.bytes(length);
      bytes.writeUInt16BE(count & 0x0fff, 6);
      return bytes;
    },
  };
  return (at) => {
    count = at.getTime() === lastMs ? count + 1 : 0;
    lastMs = at.getTime();
    return uuidv7({ now: () => at }, counted);
  };
}
