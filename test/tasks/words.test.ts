import { describe, expect, it } from '@jest/globals';
import { reasons, taskOutcomes, taskStates } from '../../modules/contract.ts';
import { exitCodeOf, phaseOf, phases } from '../../service/tasks/words.ts';

describe('the words of kubeopencode for a task (part of C-23)', () => {
  it.each([
    ['blocked', null, 'Pending'],
    ['queued', null, 'Queued'],
    ['starting', null, 'Pending'],
    ['running', null, 'Running'],
    ['waiting', null, 'Running'],
    ['parked', null, 'Pending'],
    ['stopping', null, 'Running'],
    ['finished', 'succeeded', 'Completed'],
    ['finished', 'no_change', 'Completed'],
    ['finished', 'failed', 'Failed'],
    ['finished', 'stopped', 'Stopped'],
    ['finished', 'canceled', 'Stopped'],
    ['finished', 'timed_out', 'TimedOut'],
  ] as const)('%s %s is %s', (state, outcome, phase) => {
    expect(phaseOf({ state, outcome })).toBe(phase);
  });

  it('cover every state and every outcome, and each word is used', () => {
    const all = [
      ...taskStates.filter((state) => state !== 'finished').map((state) => phaseOf({ state, outcome: null })),
      ...taskOutcomes.map((outcome) => phaseOf({ state: 'finished', outcome })),
    ];

    expect(new Set(all)).toEqual(new Set(phases));
  });
});

describe('C-24 why a task waits, failed or was ended', () => {
  it('is one of a closed list, with every documented word in it', () => {
    const documented = `AgentAtCapacity QuotaExceeded AgentSuspended AgentServerNotReady PermissionRequired
      QuestionAsked UserStopped Timeout ContextError AgentError BudgetExceeded LoopDetected`.split(/\s+/);
    const further = `ApprovalBypassed ApprovalRejected BridgeLost WorkspaceStopped DelegationMissing VerifyFailed
      UpstreamError Truncated StopUnproven`.split(/\s+/);

    expect([...reasons].sort()).toEqual([...documented, ...further].sort());
  });
});

describe('exit codes (part of C-30)', () => {
  it.each([
    ['succeeded', null, 0],
    ['no_change', null, 0],
    ['failed', 'AgentError', 1],
    ['failed', null, 1],
    ['failed', 'ContextError', 2],
    ['failed', 'WorkspaceStopped', 2],
    ['failed', 'DelegationMissing', 2],
    ['timed_out', 'Timeout', 124],
    ['stopped', 'UserStopped', 143],
    ['canceled', 'UserStopped', 143],
  ] as const)('%s for %s is %i', (outcome, reason, code) => {
    expect(exitCodeOf({ outcome, reason })).toBe(code);
  });

  it('are none while the task has not ended', () => {
    expect(exitCodeOf({ outcome: null, reason: null })).toBeNull();
  });
});
