import { describe, expect, it } from '@jest/globals';
import { loopIn, usualBrakes } from '../../service/gateway/brakes.ts';
import { mayBegin, nearlySpent, periodStart, type Limit, type Spending } from '../../service/gateway/budget.ts';
import { makeToolCalls } from '../../service/gateway/tool-calls.ts';

const brakes = { ...usualBrakes, identicalCalls: 3, staleCalls: 6 };
const loop = (calls: string) => loopIn(calls.split(''), brakes);

describe('a loop (part of D6)', () => {
  it.each(['aaa', 'xyaaa', 'ababab', 'zabcabcabc', 'abcdabcdabcd'])('is seen in %s', (calls) => {
    expect(loop(calls)).not.toBeNull();
  });

  it.each(['', 'aa', 'aabaa', 'abab', 'abcabc', 'abcdefgh'])('is not seen in %s', (calls) => {
    expect(loop(calls)).toBeNull();
  });

  it('is seen where nothing new is tried, in whatever order', () => {
    expect(loop('abcbac')).toBeNull();
    expect(loop('abcacbbac')).toContain('only tools that the agent had called before');
  });

  it('is nothing where the brakes are off', () => {
    expect(loopIn('a'.repeat(400).split(''), { ...brakes, identicalCalls: 0, staleCalls: 0 })).toBeNull();
  });
});

describe('tool calls of an answer (part of D6)', () => {
  const signed = (...pieces: unknown[][]): string | null => {
    const calls = makeToolCalls();
    for (const piece of pieces) calls.see(piece);
    return calls.signature();
  };
  const whole = (args: string, name = 'bash') => [{ index: 0, function: { name, arguments: args } }];

  it('are equal however the stream was cut and the arguments were written', () => {
    const one = signed(whole('{"a":1,"b":2}'));

    expect(signed(whole('{"b": 2, "a": 1}'))).toBe(one);
    expect(signed(whole('{"a":'), [{ index: 0, function: { arguments: '1,"b":2}' } }])).toBe(one);
    expect(signed(whole('{"a":1}'))).not.toBe(one);
    expect(signed(whole('{"a":1,"b":2}', 'read'))).not.toBe(one);
    expect(signed()).toBeNull();
  });
});

describe('a budget (part of D6)', () => {
  const amounts = { tokens: 0, micro_usd: 0, seconds: 0, tool_calls: 0 };
  const limit: Limit = {
    ...{ scope: 'user', target: 'u', period: 'day' },
    atMost: { tokens: null, micro_usd: 100, seconds: null, tool_calls: 10 },
  };
  const at = (spent: Partial<typeof amounts>, reserved: Partial<typeof amounts> = {}): Spending => ({
    spent: { ...amounts, ...spent },
    reserved: { ...amounts, ...reserved },
  });

  it.each([
    [at({ micro_usd: 99 }), 'open'],
    [at({ micro_usd: 50 }, { micro_usd: 50 }), 'wait'],
    [at({ micro_usd: 100 }), { spent: limit, kind: 'micro_usd' }],
    [at({ tool_calls: 10 }), { spent: limit, kind: 'tool_calls' }],
    [at({ tokens: 1_000_000 }), 'open'],
  ] as const)('with %j', (spending, verdict) => {
    expect(mayBegin([[limit, spending]])).toEqual(verdict);
  });

  it('is nearly spent from four fifths on', () => {
    expect(nearlySpent(limit, at({ micro_usd: 79, tool_calls: 7 }))).toEqual([]);
    expect(nearlySpent(limit, at({ micro_usd: 80, tool_calls: 8 })).map(({ kind }) => kind)).toEqual([
      'micro_usd',
      'tool_calls',
    ]);
  });

  it('begins anew with the day and the month of UTC', () => {
    const now = new Date('2026-11-22T23:59:59.999Z');

    expect(periodStart('day', now).toISOString()).toBe('2026-11-22T00:00:00.000Z');
    expect(periodStart('month', now).toISOString()).toBe('2026-11-01T00:00:00.000Z');
  });
});
