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
});
