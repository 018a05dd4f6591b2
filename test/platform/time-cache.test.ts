import { describe, expect, it } from '@jest/globals';
import { makeTimeCache } from '../../service/platform/time-cache.ts';

function scene(most = 10) {
  let at = 0;
  let made = 0;
  const cache = makeTimeCache<string>({ clock: { now: () => new Date(at) }, ttlMs: 60_000, most });
  return {
    cache,
    pass: (milliseconds: number) => (at += milliseconds),
    get: (key: string) => cache.get(key, async () => `${key}${(made += 1)}`),
  };
}

describe('a cache of answers', () => {
  it('answers the same until the time of an answer is over, and asks again then', async () => {
    const { get, pass } = scene();

    expect(await get('a')).toBe('a1');
    pass(59_999);
    expect(await get('a')).toBe('a1');
    expect(await get('b')).toBe('b2');
    pass(1);
    expect(await get('a')).toBe('a3');
  });

  it('asks once for all who ask meanwhile, however long it takes, and counts the time from the answer', async () => {
    const { cache, get, pass } = scene();
    let answer = (_value: string): void => undefined;
    const slow = cache.get('a', () => new Promise((resolve) => (answer = resolve)));
    pass(120_000);
    const second = get('a');
    answer('slow');

    expect([await slow, await second]).toEqual(['slow', 'slow']);
    pass(59_999);
    expect(await get('a')).toBe('slow');
    pass(1);
    expect(await get('a')).toBe('a1');
  });

  it('does not keep what failed', async () => {
    const { cache, get } = scene();
    await expect(cache.get('a', () => Promise.reject(new Error('silent')))).rejects.toThrow('silent');

    expect(await get('a')).toBe('a1');
  });

  it('keeps no more than it may: first go those whose time is over, then the oldest', async () => {
    const { get, pass } = scene(2);
    await get('a');
    pass(60_000);
    await get('b');
    await get('c');
    expect(await get('b')).toBe('b2');
    await get('d');

    expect(await get('c')).toBe('c3');
    expect(await get('b')).toBe('b5');
  });
});
