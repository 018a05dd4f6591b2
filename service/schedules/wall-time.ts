const formats = new Map<string, Intl.DateTimeFormat>();
const mostFormats = 500;

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known) return known;
  if (formats.size >= mostFormats) formats.clear();
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(timeZone, format);
  return format;
}

/** Clocks are changed on a quarter of an hour, so what holds at its beginning holds to its end. */
const quarterMs = 900_000;
const known = new Map<string, number>();
const mostKnown = 20_000;

/** How far the clocks of a zone are ahead of UTC at an instant, in milliseconds. */
export function offsetMs(timeZone: string, instant: number): number {
  const quarter = Math.floor(instant / quarterMs);
  const key = `${timeZone} ${quarter}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  if (known.size >= mostKnown) known.clear();
  const offset = readOffset(timeZone, quarter * quarterMs);
  known.set(key, offset);
  return offset;
}

function readOffset(timeZone: string, instant: number): number {
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(instant)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second) - instant;
}

/** Longer than any change of the clock, and shorter than the time between two. */
const aroundMs = 26 * 3_600_000;

/**
 * The instants at which clocks of a zone show a time, given as if it were UTC.
 *
 * A time that exists twice is its first instant, or both with `all`. One that a change leaves out is the instant as long
 * after the change as it would have been, or none with `all`.
 */
export function wallToInstants(timeZone: string, wall: number, all: boolean): readonly number[] {
  const before = offsetMs(timeZone, wall - aroundMs);
  const after = offsetMs(timeZone, wall + aroundMs);
  const offsets = before === after ? [before] : [before, after];
  const real = offsets
    .map((offset) => wall - offset)
    .filter((instant) => instant + offsetMs(timeZone, instant) === wall);
  if (all) return real;
  return real.length > 0 ? [Math.min(...real)] : [wall - before];
}
