import { Cron, CronPattern } from 'croner';
import { wallToInstants, offsetMs } from './wall-time.ts';

/** When something is to run, again and again. */
export interface Cadence {
  /** The next run after `from`; null when there is none any more. */
  next(from: Date): Date | null;
}

/** How near a change of the clock is worth a closer look; longer than any shift, short of a change of the date. */
const nearMs = 3 * 3_600_000;

/** Why a schedule cannot be read, for the one who wrote it. */
export class CadenceFault extends Error {
  readonly field: 'schedule' | 'timeZone';

  constructor(field: CadenceFault['field'], message: string) {
    super(message);
    this.field = field;
  }
}

/**
 * Reads five fields of cron in an IANA time zone.
 *
 * A schedule whose hour field takes every hour follows elapsed time: an hour that the clock repeats runs again, one
 * that it leaves out does not. Any other schedule follows the clock on the wall: a time that exists twice runs the
 * first time only, and one that does not exist runs as long after the change as it would have (02:30 → 03:30). So
 * what is daily runs exactly once a day.
 *
 * croner is asked in UTC only, for times on a wall: over a change its own answers may go back in time and repeat
 * (`*\/30 1-4 * * *` in spring), and leave a whole hour out (`0 * * * *` in autumn).
 *
 * Errors  `CadenceFault`, also for what never comes, such as 30 February.
 */
export function readCadence(schedule: string, timeZone: string): Cadence {
  checkZone(timeZone);
  const { wall, everyHour } = readFields(schedule);
  return { next: (from) => nextRun(wall, timeZone, everyHour, from) };
}

/** Up to `count` runs after `from`, oldest first. */
export function nextRuns(cadence: Cadence, from: Date, count: number): readonly Date[] {
  const runs: Date[] = [];
  for (let run = cadence.next(from); run !== null && runs.length < count; run = cadence.next(run)) runs.push(run);
  return runs;
}

function checkZone(timeZone: string): void {
  // Newer runtimes also take `+02:00`, which is no zone: it knows no daylight saving time.
  const isName = /^[A-Za-z]/.test(timeZone);
  try {
    if (isName) return void new Intl.DateTimeFormat('en-US', { timeZone });
  } catch {
    // Said below.
  }
  throw new CadenceFault('timeZone', `'${timeZone}' is no IANA time zone; name one such as Europe/Berlin or UTC`);
}

function readFields(schedule: string): { readonly wall: Cron; readonly everyHour: boolean } {
  const text = schedule.trim();
  // croner also reads a date, which it would run once.
  const isCron = text.startsWith('@') || text.split(/\s+/).length === 5;
  try {
    if (isCron) {
      const wall = new Cron(text, { timezone: 'UTC', mode: '5-part', paused: true });
      const hours = new CronPattern(text, undefined, { mode: '5-part' }).hour;
      if (wall.nextRun(new Date(0)) === null) throw new CadenceFault('schedule', 'never comes; check day and month');
      return { wall, everyHour: hours.every((hour) => hour === 1) };
    }
  } catch (error) {
    if (error instanceof CadenceFault) throw error;
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
    throw new CadenceFault('schedule', `is no cron expression of five fields: ${reason}`);
  }
  throw new CadenceFault('schedule', 'has not five fields: minute, hour, day of month, month, day of week');
}

function nextRun(wall: Cron, timeZone: string, everyHour: boolean, from: Date): Date | null {
  /** By how much clocks are changed around an instant; mostly 0. */
  const shiftAround = (instant: number): number =>
    Math.abs(offsetMs(timeZone, instant + nearMs) - offsetMs(timeZone, instant - nearMs));
  const after = from.getTime();
  let at = new Date(after + offsetMs(timeZone, after) - shiftAround(after));
  let best: number | null = null;
  let until = Number.POSITIVE_INFINITY;
  for (;;) {
    const next = wall.nextRun(at);
    if (next === null || next.getTime() > until) break;
    at = next;
    for (const run of wallToInstants(timeZone, next.getTime(), everyHour))
      if (run > after && (best === null || run < best)) best = run;
    if (best === null || until !== Number.POSITIVE_INFINITY) continue;
    // Near a change the order on the wall is not the order in time: look a little further.
    const shift = shiftAround(best);
    if (shift === 0) break;
    until = next.getTime() + shift;
  }
  return best === null ? null : new Date(best);
}
