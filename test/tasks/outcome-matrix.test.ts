import { describe, expect, it } from '@jest/globals';
import type { Reason } from '../../modules/contract.ts';
import { judge } from '../../service/tasks/judge.ts';
import { outcomeEvidence } from '../../service/tasks/outcome-evidence.ts';
import { exitCodeOf } from '../../service/tasks/words.ts';
import { readRecordings } from '../support/harness-recording/recording.ts';
import { replayEvidence } from '../support/harness-recording/replay.ts';

interface Expected {
  readonly outcome: string;
  readonly reason?: Reason;
  readonly retryable?: true;
  /** What the harness's own command line exits with, where it says the opposite. */
  readonly lie?: 0 | 1;
}

/** What each recorded attempt came to. */
const expected: Readonly<Record<string, Expected>> = {
  'aborted-by-another': { outcome: 'failed', reason: 'AgentError', retryable: true },
  answer: { outcome: 'no_change' },
  edit: { outcome: 'succeeded' },
  'edit-then-401': { outcome: 'failed', reason: 'UpstreamError' },
  empty: { outcome: 'no_change' },
  loop: { outcome: 'failed', reason: 'LoopDetected' },
  malformed: { outcome: 'failed', reason: 'UpstreamError', retryable: true },
  'no-finish': { outcome: 'failed', reason: 'AgentError', retryable: true },
  overflow: { outcome: 'failed', reason: 'ContextError' },
  'permission-rejected': { outcome: 'failed', reason: 'ApprovalRejected', lie: 0 },
  'provider-401': { outcome: 'failed', reason: 'UpstreamError', lie: 0 },
  'provider-500': { outcome: 'failed', reason: 'UpstreamError', retryable: true },
  'provider-recovers': { outcome: 'no_change' },
  'provider-recovers-v2': { outcome: 'no_change', lie: 1 },
  'question-rejected': { outcome: 'failed', reason: 'QuestionAsked' },
  stopped: { outcome: 'stopped', reason: 'UserStopped' },
  'timed-out': { outcome: 'timed_out', reason: 'Timeout' },
  'tool-recovers': { outcome: 'succeeded' },
  'tool-unknown': { outcome: 'no_change' },
  truncated: { outcome: 'failed', reason: 'Truncated', lie: 0 },
  'verify-fails': { outcome: 'failed', reason: 'VerifyFailed', lie: 0 },
  'verify-passes': { outcome: 'succeeded' },
  'verify-rejected': { outcome: 'failed', reason: 'ApprovalRejected' },
};

const recordings = readRecordings();

describe('the outcome of a recorded attempt', () => {
  it('is expected for every recording', () => {
    expect(Object.keys(expected).sort()).toEqual([...recordings.keys()].sort());
  });

  it.each([...recordings])(
    'D4 %s: the bridge finds the evidence in the stream, the service its outcome',
    async (name, recording) => {
      const evidence = await replayEvidence(recording);
      const { ended_by: endedBy, lease, exit } = recording;
      const verdict = judge({
        evidence,
        stopReason: endedBy?.kind === 'stop' ? endedBy.reason : null,
        isVerifyAsked: lease.verify !== null,
      });
      const { outcome, reason = null, retryable = false, lie } = expected[name] as Expected;

      expect(evidence).toEqual(recording.evidence);
      expect(verdict).toMatchObject({ outcome, reason, retryable });
      expect(outcomeEvidence(evidence, verdict.outcome).map(({ says }) => says)).toContain('supports');
      expect(exit?.code).toBe(lie);
    },
  );

  it.each([...recordings].filter(([name]) => expected[name]?.lie === 0))(
    'O-42 %s: exits otherwise than 0, though the harness’s own command line says 0',
    async (_name, recording) => {
      const verdict = judge({
        evidence: await replayEvidence(recording),
        stopReason: null,
        isVerifyAsked: recording.lease.verify !== null,
      });

      expect(recording.exit?.code).toBe(0);
      expect(exitCodeOf(verdict)).toBe(1);
    },
  );
});
