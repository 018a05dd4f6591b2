import { describe, expect, it } from '@jest/globals';
import { reasons, taskOutcomes, taskStates } from '../../modules/contract.ts';
import { appStatusOf, exitCodeOf, phaseOf, phases } from '../../service/tasks/words.ts';

describe('C-23 the words of others for where a task stands', () => {
  it.each([
    ['blocked', null, 'Pending', 'idle'],
    ['queued', null, 'Queued', 'idle'],
    ['starting', null, 'Pending', 'working'],
    ['running', null, 'Running', 'working'],
    ['waiting', null, 'Running', 'idle'],
    ['parked', null, 'Pending', 'idle'],
    ['stopping', null, 'Running', 'working'],
    ['finished', 'succeeded', 'Completed', 'complete'],
    ['finished', 'no_change', 'Completed', 'complete'],
    ['finished', 'failed', 'Failed', 'failure'],
    ['finished', 'stopped', 'Stopped', 'idle'],
    ['finished', 'canceled', 'Stopped', 'idle'],
    ['finished', 'timed_out', 'TimedOut', 'failure'],
  ] as const)('%s %s is %s, and the app is %s', (state, outcome, phase, appStatus) => {
    expect([phaseOf({ state, outcome }), appStatusOf({ state, outcome })]).toEqual([phase, appStatus]);
  });

  it('cover every state and every outcome, and each word is used', () => {
    const all = [
      ...taskStates.filter((state) => state !== 'finished').map((state) => ({ state, outcome: null })),
      ...taskOutcomes.map((outcome) => ({ state: 'finished' as const, outcome })),
    ];

    expect(new Set(all.map(phaseOf))).toEqual(
      new Set(['Pending', 'Queued', 'Running', 'Completed', 'Failed', 'Stopped', 'TimedOut']),
    );
    expect(new Set(all.map(phaseOf))).toEqual(new Set(phases));
    expect(new Set(all.map(appStatusOf))).toEqual(new Set(['working', 'idle', 'complete', 'failure']));
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
