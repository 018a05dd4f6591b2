import type { Reason } from '../../modules/contract.ts';
import type { Verdict } from './judge.ts';
import { retryDelay, type TaskRecord } from './task.ts';

/**
 * What follows an attempt.
 *
 * retry     the same again, after a while
 * fallback  the same work by the task's other agent or model, with as many attempts again
 * end       the task is finished; `isSpent` where one more attempt could have helped but none is left
 */
export type NextStep =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'fallback'; readonly agent: string; readonly model: string }
  | { readonly kind: 'end'; readonly isSpent: boolean };

/** Failures of the agent or its model. What the workspace, a person or a limit refused, another model meets again. */
export const fallbackReasons: readonly Reason[] = ['AgentError', 'UpstreamError', 'Truncated', 'LoopDetected'];

type Spent = Pick<
  TaskRecord,
  'attempt' | 'parks' | 'maxAttempts' | 'retryDelayMs' | 'stopReason' | 'fallback' | 'fellBackAfter'
>;

export function afterAttempt(task: Spent, verdict: Pick<Verdict, 'outcome' | 'reason' | 'retryable'>): NextStep {
  if (verdict.outcome !== 'failed' || task.stopReason !== null) return { kind: 'end', isSpent: false };
  const made = task.attempt - (task.fellBackAfter ?? 0) - task.parks;
  if (verdict.retryable && made < task.maxAttempts)
    return { kind: 'retry', delayMs: retryDelay(task.retryDelayMs, made) };
  const isForAnother = verdict.reason !== null && fallbackReasons.includes(verdict.reason);
  if (task.fallback && task.fellBackAfter === null && isForAnother) return { kind: 'fallback', ...task.fallback };
  return { kind: 'end', isSpent: verdict.retryable };
}
