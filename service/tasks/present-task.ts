import type { TaskResult } from '../../modules/contract.ts';
import { outcomeEvidence } from './outcome-evidence.ts';
import type { AttemptRecord, TaskRecord } from './task.ts';
import { appStatusOf, exitCodeOf, phaseOf } from './words.ts';

const seconds = (from: Date | null, to: Date | null): number | null =>
  from && to ? (to.getTime() - from.getTime()) / 1_000 : null;

/** A task in a list: what tells them apart and how they stand. */
export const summarizeTask = (task: TaskRecord) => ({
  id: task.id,
  status: task.state,
  agent: task.agent,
  type: task.type,
  action: task.action,
  title: task.title,
  state: task.state,
  outcome: task.outcome,
  phase: phaseOf(task),
  app_status: appStatusOf(task),
  exit_code: exitCodeOf(task),
  reason: task.reason,
  message: task.message,
  attempt: task.attempt,
  max_attempts: task.maxAttempts,
  owner_id: task.ownerId,
  owner_name: task.ownerName,
  organization_id: task.organizationId,
  workspace_id: task.workspaceId,
  workspace_name: task.workspaceName,
  workflow_id: task.workflowId,
  step_id: task.stepId,
  retry_of: task.retryOf,
  profile: task.profile,
  model: task.model,
  branch: task.branch,
  priority: task.priority,
  timeout_seconds: task.timeoutMs / 1_000,
  session_id: task.sessionId,
  last_event_seq: task.eventSeq,
  submitted_at: task.submittedAt.toISOString(),
  run_at: task.runAt.toISOString(),
  started_at: task.startedAt?.toISOString() ?? null,
  finished_at: task.finishedAt?.toISOString() ?? null,
  duration_seconds: seconds(task.startedAt, task.finishedAt),
  usage: task.usage,
});

/** A task as callers see it. The prompt is theirs; nothing here comes from another task. */
export const presentTask = (task: TaskRecord, attempts: readonly AttemptRecord[]) => ({
  ...summarizeTask(task),
  prompt: task.prompt,
  payload: task.payload,
  verify: task.verify,
  result: resultOf(task),
  evidence: task.evidence,
  outcome_evidence: outcomeEvidence(task.evidence, task.outcome),
  retry: { max: task.maxAttempts, backoff_seconds: task.retryDelayMs / 1_000 },
  budget_micro_usd: task.budgetMicroUsd,
  budget_tokens: task.budgetTokens,
  budget_tool_calls: task.budgetToolCalls,
  fallback_models: task.fallbackModels,
  fallback: task.fallback,
  attempts: attempts.map(presentAttempt),
});

/** What a task that did not fail came to; null while there is nothing to show. */
const resultOf = ({ outcome, evidence }: TaskRecord): TaskResult | null =>
  evidence !== null && (outcome === 'succeeded' || outcome === 'no_change')
    ? { output: evidence.last_message?.text ?? '', objects: evidence.objects ?? [] }
    : null;

const presentAttempt = (attempt: AttemptRecord) => ({
  number: attempt.number,
  agent: attempt.agent,
  model: attempt.model,
  outcome: attempt.outcome,
  reason: attempt.reason,
  created_at: attempt.createdAt.toISOString(),
  leased_at: attempt.leasedAt?.toISOString() ?? null,
  running_at: attempt.runningAt?.toISOString() ?? null,
  settled_at: attempt.settledAt?.toISOString() ?? null,
});
