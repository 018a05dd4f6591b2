import { describe, expect, it } from '@jest/globals';
import type { Evidence, TaskOutcome } from '../../modules/contract.ts';
import { outcomeEvidence } from '../../service/tasks/outcome-evidence.ts';
import { readRecordings } from '../support/harness-recording/recording.ts';

const recordings = readRecordings();
const factsOf = (name: string, outcome: TaskOutcome, more: Partial<Evidence> = {}): string[] =>
  outcomeEvidence({ ...(recordings.get(name)?.evidence as Evidence), ...more }, outcome).map(
    ({ kind, says, text }) => `${kind} ${says}: ${text}`,
  );

describe('the facts behind an outcome (part of D4)', () => {
  it('name what supports it and what contradicts it', () => {
    expect(factsOf('verify-fails', 'failed')).toEqual([
      'last_message contradicts: The agent ended its turn by itself.',
      'tools neither: 1 tool call, 0 without success.',
      'verify supports: The verify command exited with 1.',
      'diff contradicts: 1 file changed: +1 −0 lines.',
      expect.stringMatching(/^commit contradicts: Committed as [0-9a-f]{40}\.$/),
    ]);
    expect(factsOf('tool-recovers', 'succeeded').slice(0, 2)).toEqual([
      'last_message supports: The agent ended its turn by itself.',
      'tools neither: 3 tool calls, 1 without success.',
    ]);
  });

  it('are there for a stop, a fault of the bridge, a refusal and an answer without change', () => {
    expect(factsOf('stopped', 'stopped')[0]).toMatch(
      /^stop supports: Ended by \w+: 0 processes left, 0 tokens after it\.$/,
    );
    expect(factsOf('loop', 'failed')).toContainEqual(
      'failure supports: The attempt could not be carried through (LoopDetected).',
    );
    expect(factsOf('permission-rejected', 'failed')).toContainEqual('asks supports: 1 request of the agent refused.');
    expect(factsOf('verify-rejected', 'failed')).toContainEqual(
      'verify_refused supports: The verify command was not allowed to run.',
    );
    expect(factsOf('answer', 'no_change')).toEqual([
      'last_message supports: The agent ended its turn by itself.',
      'diff neither: No file changed.',
    ]);
    expect(factsOf('edit', 'failed', { commit: null })).toContainEqual(
      'commit supports: The changes were not committed.',
    );
  });

  it('never repeat the words of a model, a tool or a provider', () => {
    const words = ['Internal error', 'Incorrect API key', 'All done here', 'SCENARIO', 'made.txt'];

    for (const [name, { evidence }] of recordings)
      for (const word of words)
        expect([name, factsOf(name, 'failed', evidence).join().includes(word)]).toEqual([name, false]);
  });

  it('are empty while there is no outcome and where nothing ran', () => {
    expect(outcomeEvidence(recordings.get('edit')?.evidence ?? null, null)).toEqual([]);
    expect(outcomeEvidence(null, 'canceled')).toEqual([]);
  });
});
