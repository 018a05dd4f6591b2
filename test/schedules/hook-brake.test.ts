import { describe, expect, it } from '@jest/globals';
import { makeHookBrake, mostRemembered } from '../../service/schedules/hook-brake.ts';

describe('the brake of webhooks', () => {
  it('counts a webhook on, however many addresses send at once, and forgets after a minute', () => {
    let now = 0;
    const brake = makeHookBrake({ now: () => new Date(now) });
    for (let event = 1; event <= 60; event += 1) brake.webhook('one');
    for (let address = 0; address <= 3 * mostRemembered; address += 1)
      brake.anybody(`2001:db8::${address.toString(16)}`);

    expect(() => brake.webhook('one')).toThrow('Too many events');
    now = 60_001;
    expect(() => brake.webhook('one')).not.toThrow();
  });

  it('counts an address on while fewer others come than it remembers, and then forgets the oldest', () => {
    const brake = makeHookBrake({ now: () => new Date(0) });
    for (let request = 1; request <= 600; request += 1) brake.anybody('one');
    for (let address = 1; address < mostRemembered; address += 1) brake.anybody(`other ${address}`);
    expect(() => brake.anybody('one')).toThrow('Too many events');
    brake.anybody('one too many');
    expect(() => brake.anybody('one')).not.toThrow();
  });
});
