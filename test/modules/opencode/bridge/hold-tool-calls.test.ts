import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { makeToolCallHold } from '../../../../modules/opencode/bridge/hold-tool-calls.ts';

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ delta, finish_reason: finish }] })}\n\n`;
const text = chunk({ content: 'hello' });
const call = chunk({ tool_calls: [{ index: 0, function: { name: 'bash', arguments: '{}' } }] });
const finish = chunk({}, 'tool_calls');
const usage = 'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n';
const done = 'data: [DONE]\n\n';

/** Everything passed on when the answer arrives in these pieces and ends. */
function relay(pieces: readonly string[]): { passed: string; isWhole: boolean } {
  const hold = makeToolCallHold();
  const passed = pieces.map((piece) => hold.take(piece)).join('');
  const last = hold.end();
  return { passed: passed + (last ?? ''), isWhole: last !== null };
}

describe('tool calls wait for the end of their answer', () => {
  it('passes text at once', () => {
    expect(makeToolCallHold().take(text)).toBe(text);
  });

  it('holds a tool call until the finish, then passes all of it', () => {
    const hold = makeToolCallHold();

    expect(hold.take(text + call)).toBe(text);
    expect(hold.take(call)).toBe('');
    expect(hold.take(finish)).toBe(call + call + finish);
    expect(hold.take(usage + done)).toBe(usage + done);
    expect(hold.end()).toBe('');
  });

  it('never passes the tool call of an answer that broke off', () => {
    expect(relay([text, call])).toEqual({ passed: text, isWhole: false });
  });

  it('says from the finish on that the answer is whole', () => {
    const hold = makeToolCallHold();

    hold.take(text + call);
    expect(hold.isWhole()).toBe(false);
    hold.take(finish);
    expect(hold.isWhole()).toBe(true);
  });

  it('passes an error in the stream without the tool call before it', () => {
    const error = 'data: {"error":{"message":"gone"}}\n\n';

    expect(relay([text, call, error])).toEqual({ passed: text + error, isWhole: true });
  });

  it('changes no byte of a whole answer, however it is cut into pieces', () => {
    const answer = text + call + call + finish + usage + done;

    fc.assert(
      fc.property(fc.array(fc.nat({ max: answer.length }), { maxLength: 12 }), (cuts) => {
        const places = [0, ...cuts.sort((left, right) => left - right), answer.length];
        const pieces = places.slice(1).map((place, index) => answer.slice(places[index], place));

        expect(relay(pieces)).toEqual({ passed: answer, isWhole: true });
      }),
    );
  });

  it('finds a separator of either kind in any pieces', () => {
    const answer = `${text}${call}`.replaceAll('\n', '\r\n') + finish + done;
    const pieces = [...answer];

    expect(relay(pieces)).toEqual({ passed: answer, isWhole: true });
  });

  it.each([
    ['an event without an end', ['data: '], 'x'.repeat(16 * 1024)],
    ['tool calls without a finish', [call], chunk({ tool_calls: [{ function: { arguments: 'x'.repeat(16_000) } }] })],
  ])('cuts an answer that holds more than 8 MB back in %s', (_case, begin, piece) => {
    const hold = makeToolCallHold();
    for (const one of begin) hold.take(one);
    for (let index = 0; index < 600; index += 1) expect(hold.take(piece)).toBe('');

    expect(hold.take(`\n\n${text}${finish}`)).toBe('');
    expect(hold.end()).toBeNull();
  });

  it('looks at each piece once: 400,000 pieces of one event take about as long per piece as 40,000', () => {
    const costOf = (count: number): number => {
      const hold = makeToolCallHold();
      const began = performance.now();
      for (let index = 0; index < count; index += 1) hold.take('0123456789');
      return (performance.now() - began) / count;
    };
    costOf(40_000);

    // Quadratic time would be ten times as long per piece; a busy machine is not.
    expect(Math.min(costOf(400_000), costOf(400_000))).toBeLessThan(5 * Math.max(costOf(40_000), 0.001));
  });
});
