import { describe, expect, it } from '@jest/globals';
import { Cron } from 'croner';
import fc from 'fast-check';
import { CadenceFault, nextRuns, readCadence } from '../../service/schedules/cron.ts';

const runs = (schedule: string, timeZone: string, from: string, count: number): string[] =>
  nextRuns(readCadence(schedule, timeZone), new Date(from), count).map((run) => run.toISOString().slice(0, 16));

/** [what, schedule, zone, from, the next runs in UTC] */
const changes: readonly [string, string, string, string, readonly string[]][] = [
  [
    'spring: 02:30 does not exist on the day and runs at 03:30',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-27T12:00Z',
    ['2026-03-28T01:30', '2026-03-29T01:30', '2026-03-30T00:30'],
  ],
  [
    'autumn: 02:30 exists twice and runs the first time only',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-23T12:00Z',
    ['2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30'],
  ],
  [
    'spring in New York',
    '30 2 * * *',
    'America/New_York',
    '2026-03-06T12:00Z',
    ['2026-03-07T07:30', '2026-03-08T07:30', '2026-03-09T06:30'],
  ],
  [
    'autumn in New York',
    '30 1 * * *',
    'America/New_York',
    '2026-10-30T12:00Z',
    ['2026-10-31T05:30', '2026-11-01T05:30', '2026-11-02T06:30'],
  ],
  [
    'spring at midnight in Santiago: the day begins at 01:00',
    '30 0 * * *',
    'America/Santiago',
    '2026-09-04T12:00Z',
    ['2026-09-05T04:30', '2026-09-06T04:30', '2026-09-07T03:30'],
  ],
  [
    'autumn at midnight in Santiago: 23:30 exists twice',
    '30 23 * * *',
    'America/Santiago',
    '2026-04-02T12:00Z',
    ['2026-04-03T02:30', '2026-04-04T02:30', '2026-04-05T02:30', '2026-04-06T03:30'],
  ],
  [
    'half an hour forward on Lord Howe',
    '15 2 * * *',
    'Australia/Lord_Howe',
    '2026-10-02T12:00Z',
    ['2026-10-02T15:45', '2026-10-03T15:45', '2026-10-04T15:15'],
  ],
  [
    'half an hour back on Lord Howe',
    '45 1 * * *',
    'Australia/Lord_Howe',
    '2026-04-03T12:00Z',
    ['2026-04-03T14:45', '2026-04-04T14:45', '2026-04-05T15:15'],
  ],
  [
    'a zone whose clocks never change, at half an hour from UTC',
    '30 9 * * *',
    'Asia/Kolkata',
    '2026-03-28T12:00Z',
    ['2026-03-29T04:00', '2026-03-30T04:00'],
  ],
  [
    'spring: hours by name are never in twice and never go back',
    '*/30 1-4 * * *',
    'Europe/Berlin',
    '2026-03-28T22:00Z',
    [
      '2026-03-29T00:00',
      '2026-03-29T00:30',
      '2026-03-29T01:00',
      '2026-03-29T01:30',
      '2026-03-29T02:00',
      '2026-03-29T02:30',
      '2026-03-29T23:00',
    ],
  ],
  [
    'autumn: every hour is every hour, also the one that comes twice',
    '0 * * * *',
    'Europe/Berlin',
    '2026-10-24T23:30Z',
    ['2026-10-25T00:00', '2026-10-25T01:00', '2026-10-25T02:00'],
  ],
  [
    'spring: every hour is every hour, without the one that is left out',
    '0 * * * *',
    'Europe/Berlin',
    '2026-03-28T23:30Z',
    ['2026-03-29T00:00', '2026-03-29T01:00', '2026-03-29T02:00'],
  ],
];

describe('D8 the next runs of a schedule, over every change of the clocks', () => {
  it.each(changes)('%s', (_what, schedule, timeZone, from, expected) => {
    expect(runs(schedule, timeZone, from, expected.length)).toEqual(expected);
  });

  it('are asked of croner in UTC only, because over a change it goes back in time', () => {
    const own = new Cron('*/30 1-4 * * *', { timezone: 'Europe/Berlin', paused: true })
      .nextRuns(6, new Date('2026-03-28T22:00Z'))
      .map(Number);

    expect(own.some((run, index) => index > 0 && run <= (own[index - 1] ?? 0))).toBe(true);
  });

  const zones = ['Europe/Berlin', 'America/New_York', 'America/Santiago', 'Australia/Lord_Howe', 'Asia/Kolkata', 'UTC'];
  const minute = fc.integer({ min: 0, max: 59 });
  const hour = fc.integer({ min: 0, max: 23 });
  const anyDay = fc.date({ min: new Date('2026-01-01'), max: new Date('2035-01-01'), noInvalidDate: true });
  const dayOf = (run: Date, timeZone: string): string => run.toLocaleDateString('sv', { timeZone });

  it('are exactly one on each day for what is daily, in every zone', () => {
    fc.assert(
      fc.property(fc.constantFrom(...zones), minute, hour, anyDay, (timeZone, atMinute, atHour, from) => {
        const found = nextRuns(readCadence(`${atMinute} ${atHour} * * *`, timeZone), from, 400);
        const days = found.map((run) => dayOf(run, timeZone));
        expect(new Set(days).size).toBe(400);
        expect(Number(found[399]) - Number(found[0])).toBeLessThan(400 * 86_400_000);
      }),
      { numRuns: 40 },
    );
  });

  it('go forward, and are the same from wherever one looks', () => {
    const expression = fc.constantFrom('*/7 * * * *', '*/30 1-4 * * *', '10,50 0-3,23 * * *', '0 */2 * * SUN');
    const nearChange = fc
      .tuple(
        fc.constantFrom('2026-03-29T01:00Z', '2026-10-25T01:00Z', '2026-03-08T07:00Z', '2026-10-03T15:30Z'),
        fc.integer({ min: -240, max: 240 }),
      )
      .map(([change, minutes]) => new Date(Date.parse(change) + minutes * 60_000));
    fc.assert(
      fc.property(expression, fc.constantFrom(...zones), nearChange, (schedule, timeZone, from) => {
        const cadence = readCadence(schedule, timeZone);
        const found = nextRuns(cadence, from, 12);
        found.forEach((run, index) => {
          expect(Number(run)).toBeGreaterThan(Number(found[index - 1] ?? from));
          expect(cadence.next(new Date(Number(run) - 1))).toEqual(run);
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe('what is no schedule', () => {
  it.each([
    ['* * * * * *', 'UTC', 'schedule'],
    ['61 * * * *', 'UTC', 'schedule'],
    ['@reboot', 'UTC', 'schedule'],
    ['2026-12-01T00:00:00', 'UTC', 'schedule'],
    ['0 0 30 2 *', 'UTC', 'schedule'],
    ['', 'UTC', 'schedule'],
    ['0 0 * * *', 'Mars/Olympus', 'timeZone'],
    ['0 0 * * *', '+02:00', 'timeZone'],
  ])('%s in %s is refused and the field named', (schedule, timeZone, field) => {
    let fault: unknown;
    try {
      readCadence(schedule, timeZone);
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(CadenceFault);
    expect(fault).toMatchObject({ field });
  });

  it('takes the nicknames', () => {
    expect(runs('@daily', 'Europe/Berlin', '2026-06-01T12:00Z', 1)).toEqual(['2026-06-01T22:00']);
  });
});
