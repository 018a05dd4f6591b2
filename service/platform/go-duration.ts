import { z } from 'zod';

const secondsOfUnit: Readonly<Record<string, number>> = { h: 3_600, m: 60, s: 1 };

/** A duration as Go writes it, such as `30m` or `1h30m`; without fractions and nothing below a second. */
export const goDurationText = z
  .string()
  .max(20)
  .regex(/^(\d+[hms])+$/, 'must be a duration such as 30m or 1h30m');

/** Seconds of a text that `goDurationText` let through. */
export const secondsOfGoDuration = (text: string): number =>
  [...text.matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (secondsOfUnit[unit ?? ''] ?? 0),
    0,
  );
