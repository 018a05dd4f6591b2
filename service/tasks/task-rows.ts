import type { Selectable } from 'kysely';
import type { Evidence, Profile, Reason, TaskOutcome, TaskState, Usage, Verify } from '../../modules/contract.ts';
import type { AttemptRecord, AttemptState, TaskRecord } from './task.ts';

interface TaskTable {
  id: string;
  agent: string;
  type: string;
  action: string;
  title: string;
  prompt: string;
  payload: unknown;
  owner_id: string;
  owner_name: string;
  commit_identity: unknown;
  organization_id: string;
  organization_name: string;
  workspace_id: string;
  workspace_name: string;
  workflow_id: string | null;
  step_id: string | null;
  step_run: number;
  trace_parent: string | null;
  retry_of: string | null;
  profile: Profile;
  model: string;
  verify: unknown;
  branch: string;
  base_commits: unknown;
  priority: number;
  timeout_ms: number;
  max_attempts: number;
  retry_delay_ms: number;
  budget_micro_usd: number | null;
  budget_tokens: number | null;
  budget_tool_calls: number | null;
  fallback_models: string[];
  fallback: unknown;
  fell_back_after: number | null;
  state: TaskState;
  outcome: TaskOutcome | null;
  reason: Reason | null;
  message: string | null;
  attempt: number;
  parks: number;
  run_at: Date;
  session_id: string | null;
  event_seq: number;
  stop_reason: Reason | null;
  stop_requested_at: Date | null;
  request_id: string | null;
  submitted_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  evidence: unknown;
  usage: unknown;
}

interface AttemptTable {
  task_id: string;
  number: number;
  workspace_id: string;
  state: AttemptState;
  prepare_until: Date;
  lease_generation: number | null;
  lease_until: Date | null;
  last_source_seq: number;
  waiting_since: Date | null;
  waited_ms: number;
  parking_since: Date | null;
  agent: string | null;
  model: string | null;
  running_at: Date | null;
  evidence: unknown;
  outcome: TaskOutcome | null;
  reason: Reason | null;
  created_at: Date;
  leased_at: Date | null;
  settled_at: Date | null;
}

export interface TaskTables {
  task: TaskTable;
  attempt: AttemptTable;
}

/** A row as the rest of the room knows it. */
export const taskFromRow = (row: Selectable<TaskTable>): TaskRecord => ({
  id: row.id,
  agent: row.agent,
  type: row.type,
  action: row.action,
  title: row.title,
  prompt: row.prompt,
  payload: row.payload,
  ownerId: row.owner_id,
  ownerName: row.owner_name,
  commitIdentity: row.commit_identity as TaskRecord['commitIdentity'],
  organizationId: row.organization_id,
  organizationName: row.organization_name,
  workspaceId: row.workspace_id,
  workspaceName: row.workspace_name,
  workflowId: row.workflow_id,
  stepId: row.step_id,
  stepRun: row.step_run,
  traceParent: row.trace_parent,
  retryOf: row.retry_of,
  profile: row.profile,
  model: row.model,
  verify: row.verify as Verify | null,
  branch: row.branch,
  baseCommits: row.base_commits as readonly string[],
  priority: row.priority,
  timeoutMs: row.timeout_ms,
  maxAttempts: row.max_attempts,
  retryDelayMs: row.retry_delay_ms,
  budgetMicroUsd: row.budget_micro_usd,
  budgetTokens: row.budget_tokens,
  budgetToolCalls: row.budget_tool_calls,
  fallbackModels: row.fallback_models,
  fallback: row.fallback as TaskRecord['fallback'],
  fellBackAfter: row.fell_back_after,
  state: row.state,
  outcome: row.outcome,
  reason: row.reason,
  message: row.message,
  attempt: row.attempt,
  parks: row.parks,
  runAt: row.run_at,
  sessionId: row.session_id,
  eventSeq: row.event_seq,
  stopReason: row.stop_reason,
  stopRequestedAt: row.stop_requested_at,
  requestId: row.request_id,
  submittedAt: row.submitted_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  evidence: row.evidence as Evidence | null,
  usage: row.usage as Usage | null,
});

export const attemptFromRow = (row: Selectable<AttemptTable>): AttemptRecord => ({
  taskId: row.task_id,
  number: row.number,
  workspaceId: row.workspace_id,
  state: row.state,
  prepareUntil: row.prepare_until,
  leaseGeneration: row.lease_generation,
  leaseUntil: row.lease_until,
  lastSourceSeq: row.last_source_seq,
  waitingSince: row.waiting_since,
  waitedMs: row.waited_ms,
  parkingSince: row.parking_since,
  evidence: row.evidence as Evidence | null,
  agent: row.agent,
  model: row.model,
  outcome: row.outcome,
  reason: row.reason,
  createdAt: row.created_at,
  leasedAt: row.leased_at,
  runningAt: row.running_at,
  settledAt: row.settled_at,
});
