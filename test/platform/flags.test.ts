import { describe, expect, it } from '@jest/globals';
import { flagTable, readFlags, type Flag } from '../../service/platform/flags.ts';

const acme = '0b2f7a52-1a57-4c0e-9d0f-4f7f6f8f1c11';
const other = '7d0f3f0e-52a1-4b7e-8f55-2b7d3f9a1c22';
const all = Object.keys(flagTable) as Flag[];

describe('flags', () => {
  it('are all on where nobody says anything', () => {
    const flags = readFlags(undefined);

    expect(all.filter((flag) => !flags.isOn(flag, acme))).toEqual([]);
    expect(flags.faults).toEqual([]);
  });

  it('are turned off for everybody, for one organization, or for all but one', () => {
    const flags = readFlags(
      `{"compose": false, "schedules": {"${acme}": false}, "webhooks": {"*": false, "${acme.toUpperCase()}": true}}`,
    );

    const of = (organization: string) =>
      (['compose', 'schedules', 'webhooks'] as const).map((flag) => flags.isOn(flag, organization));
    expect(of(acme)).toEqual([false, false, true]);
    expect(of(other)).toEqual([false, true, false]);
    expect(flags.isOnInAny('webhooks', [other, acme])).toBe(true);
    expect(flags.isOnInAny('webhooks', [other])).toBe(false);
    expect(flags.isOnInAny('webhooks', null)).toBe(true);
    expect(flags.isOnInAny('compose', null)).toBe(false);
  });

  it.each([
    ['"yes"', 'a word'],
    ['1', 'a number'],
    ['null', 'nothing'],
    [`{"${acme}": "true"}`, 'a word for an organization'],
    ['{"acme": true}', 'an organization that is no id'],
    ['{"*": "on"}', 'a word for the others'],
    ['[]', 'a list'],
  ])('counts %s, %s, as off everywhere, and says so once', (value) => {
    const flags = readFlags(`{"schedules": ${value}, "compose": true}`);

    expect([flags.isOn('schedules', acme), flags.isOnInAny('schedules', null)]).toEqual([false, false]);
    expect(flags.isOn('compose', acme)).toBe(true);
    expect(flags.faults).toEqual([expect.stringContaining('schedules')]);
    expect(flags.described.schedules).toBe('off, because it cannot be read');
  });

  it.each(['{"compose": tru', 'compose=false', '[]', 'true', '7'])(
    'counts every flag as off where the whole is %s',
    (text) => {
      const flags = readFlags(text);

      expect(all.filter((flag) => flags.isOn(flag, acme))).toEqual([]);
      expect(flags.faults).toHaveLength(1);
    },
  );

  it('names a flag that stands for nothing', () => {
    expect(readFlags({ shedules: false }).faults).toEqual([
      expect.stringMatching(/no flag "shedules"[\s\S]*schedules/),
    ]);
  });
});
