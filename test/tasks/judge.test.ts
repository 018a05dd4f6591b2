import { describe, expect, it } from '@jest/globals';
import type { Evidence, Reason } from '../../modules/contract.ts';
import { judge } from '../../service/tasks/judge.ts';
import { failedEvidence } from '../../service/tasks/task.ts';

const base = failedEvidence({ reason: 'AgentError', message: '', retryable: false });
const good: Evidence = {
  ...base,
  failure: null,
  last_message: { finish: 'stop', error: null, text: 'Done.' },
  diff: { files: 2, additions: 10, deletions: 1 },
  commit: 'a'.repeat(40),
};
const receipt = {
  stopped_at: '2026-01-01T00:00:00Z',
  method: 'term',
  processes_left: 0,
  tokens_after_stop: 0,
} as const;
const errored = (name: string, statusCode?: number): Evidence => ({
  ...good,
  last_message: {
    finish: null,
    text: '',
    error: { name, message: 'm', ...(statusCode === undefined ? {} : { status_code: statusCode }) },
  },
});

describe('an outcome comes from evidence (part of D4)', () => {
  const cases: readonly [
    title: string,
    evidence: Evidence,
    stop: Reason | null,
    outcome: string,
    reason: Reason | null,
    retryable: boolean,
  ][] = [
    ['a finished turn with changes succeeded', good, null, 'succeeded', null, false],
    ['a finished turn without changes is no_change', { ...good, diff: base.diff }, null, 'no_change', null, false],
    [
      'a verify command that passed proves the work',
      { ...good, rejected_asks: 1, verify: { exit: 0, timed_out: false, output: '' } },
      null,
      'succeeded',
      null,
      false,
    ],
    [
      'a verify command that failed outweighs a happy message',
      { ...good, verify: { exit: 1, timed_out: false, output: '' } },
      null,
      'failed',
      'VerifyFailed',
      false,
    ],
    [
      'a verify command that ran out of time failed',
      { ...good, verify: { exit: null, timed_out: true, output: '' } },
      null,
      'failed',
      'VerifyFailed',
      false,
    ],
    [
      'a refused verify command is no success',
      { ...good, verify_rejected: true },
      null,
      'failed',
      'ApprovalRejected',
      false,
    ],
    [
      'a refused ask is no success unless something proves the work',
      { ...good, rejected_asks: 1 },
      null,
      'failed',
      'ApprovalRejected',
      false,
    ],
    [
      'an answer cut off at the limit is truncated, not done',
      { ...good, last_message: { finish: 'length', error: null, text: '' } },
      null,
      'failed',
      'Truncated',
      false,
    ],
    [
      'neither finish nor error means interrupted',
      { ...good, last_message: { finish: null, error: null, text: '' } },
      null,
      'failed',
      'AgentError',
      true,
    ],
    [
      'a turn that ended in a tool call is not over',
      { ...good, last_message: { finish: 'tool-calls', error: null, text: '' } },
      null,
      'failed',
      'AgentError',
      true,
    ],
    ['no message at all is an error of the agent', { ...good, last_message: null }, null, 'failed', 'AgentError', true],
    ['a refusal of the provider will not get better', errored('APIError', 402), null, 'failed', 'UpstreamError', false],
    ['a fault of the provider may', errored('APIError', 503), null, 'failed', 'UpstreamError', true],
    ['an unknown error may', errored('UnknownError'), null, 'failed', 'UpstreamError', true],
    ['an overflown context will not', errored('ContextOverflowError', 400), null, 'failed', 'ContextError', false],
    ['an abort nobody asked for may', errored('MessageAbortedError'), null, 'failed', 'AgentError', true],
    [
      'a lost bridge may',
      failedEvidence({ reason: 'BridgeLost', message: 'gone', retryable: true }),
      null,
      'failed',
      'BridgeLost',
      true,
    ],
    ['a proven stop is stopped', { ...good, stop: receipt }, 'UserStopped', 'stopped', 'UserStopped', false],
    ['a proven stop for time is timed_out', { ...good, stop: receipt }, 'Timeout', 'timed_out', 'Timeout', false],
    [
      'a stop that left a process is unproven',
      { ...good, stop: { ...receipt, processes_left: 1 } },
      'UserStopped',
      'failed',
      'StopUnproven',
      false,
    ],
    [
      'a stop without a receipt is unproven',
      { ...good, last_message: null },
      'UserStopped',
      'failed',
      'StopUnproven',
      false,
    ],
    ['a turn that ended by itself before the stop keeps its outcome', good, 'UserStopped', 'succeeded', null, false],
    ['changes that were not committed are no success', { ...good, commit: null }, null, 'failed', 'AgentError', false],
    [
      'tokens spent after the stop make it unproven',
      { ...good, stop: { ...receipt, tokens_after_stop: 5 } },
      'UserStopped',
      'failed',
      'StopUnproven',
      false,
    ],
  ];

  it.each(cases)('%s', (_title, evidence, stopReason, outcome, reason, retryable) => {
    expect(judge({ evidence, stopReason, isVerifyAsked: false })).toMatchObject({ outcome, reason, retryable });
  });

  it('asked for a verify command that never ran is no success', () => {
    const judged = { evidence: good, stopReason: null };

    expect(judge({ ...judged, isVerifyAsked: true })).toMatchObject({ outcome: 'failed', reason: 'VerifyFailed' });
    expect(judge({ ...judged, isVerifyAsked: false })).toMatchObject({ outcome: 'succeeded' });
  });

  it('never repeats the provider’s own text', () => {
    const leaky: Evidence = {
      ...good,
      last_message: {
        finish: null,
        text: '',
        error: { name: 'APIError', message: 'key sk-canary is bad', status_code: 401 },
      },
    };

    expect(JSON.stringify(judge({ evidence: leaky, stopReason: null, isVerifyAsked: false }))).not.toContain(
      'sk-canary',
    );
  });
});
