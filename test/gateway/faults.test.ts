import { describe, expect, it } from '@jest/globals';
import {
  endedTurn,
  endsTheTurn,
  faultBody,
  halted,
  lastTry,
  tokenEnded,
  bodyTooLarge,
  upstreamUnreachable,
} from '../../service/gateway/faults.ts';
import { makeEventSplitter, dataOf } from '../../service/gateway/sse.ts';
import { faultOfRefusal } from '../../service/gateway/upstream-refusal.ts';

const now = new Date('2026-11-21T12:00:00Z');
const refusal = (status: number, message: string) =>
  faultOfRefusal({ status, retryAfter: null, body: JSON.stringify({ error: { message } }) }, (text) => text, now);

describe('a fault that ends the turn (part of D6)', () => {
  it.each([
    ...(
      [
        'upstream_incomplete',
        'upstream_malformed',
        'upstream_not_a_stream',
        'upstream_silent',
        'upstream_too_long',
        'upstream_error',
        'upstream_credentials',
        'upstream_open',
        'task_stopped',
      ] as const
    ).map((code) => endedTurn(code)),
    halted('BudgetExceeded'),
    halted('LoopDetected'),
    tokenEnded(),
    bodyTooLarge(),
    refusal(402, 'Insufficient credits'),
    lastTry(refusal(429, 'Slow down')),
    lastTry(refusal(503, 'Overloaded')),
    lastTry(upstreamUnreachable(new Error('no route'))),
  ])('has a status and a text on which the harness gives up ($code)', (fault) => {
    expect([408, 409, 429]).not.toContain(fault.status);
    expect(fault.status).toBeGreaterThanOrEqual(400);
    expect(fault.status).toBeLessThan(500);
    expect(endsTheTurn(faultBody(fault))).toBe(true);
  });

  it.each(['Error 500 in req_a5024', 'server_error', 'Rate limit hit', 'please try again later', 'fetch failed'])(
    'drops the words "%s" of a refusal, for they would make the harness repeat it',
    (words) => {
      expect(endsTheTurn(words)).toBe(false);
      expect(refusal(400, words).message).toBe('The model provider refused the request.');
    },
  );

  it('keeps harmless words of a refusal', () => {
    expect(refusal(400, 'Unknown parameter: foo').message).toContain('Unknown parameter: foo');
  });
});

describe('P-47 server-sent events', () => {
  it('are cut at blank lines wherever the text was cut before', () => {
    const whole = 'data: a\n\ndata: b\r\n\r\n: c\n\ndata: d';

    for (let cut = 0; cut <= whole.length; cut++) {
      const splitter = makeEventSplitter();
      const events = [...splitter.push(whole.slice(0, cut)), ...splitter.push(whole.slice(cut))];

      expect(events).toEqual(['data: a\n\n', 'data: b\r\n\r\n', ': c\n\n']);
      expect(splitter.rest()).toBe('data: d');
    }
  });

  it('give the data of all their lines, or none for a comment', () => {
    expect(dataOf('event: x\ndata: a\ndata:b\n\n')).toBe('a\nb');
    expect(dataOf(': ping\n\n')).toBeUndefined();
  });
});
