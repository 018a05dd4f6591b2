import type { Selectable } from 'kysely';
import type { WorkflowOutcome } from '../../modules/contract.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Work } from '../tasks/submit-task.ts';
import type { StepOutline, StepRecord, Told, WorkflowHead } from './workflow-store.ts';

export interface WorkflowTable {
  id: string;
  name: string;
  owner_id: string;
  owner_name: string;
  commit_identity: unknown;
  max_parallel: number;
  run: number;
  outcome: WorkflowOutcome | null;
  request_id: string | null;
  trace_parent: string | null;
  cancel_requested_at: Date | null;
  cancel_requested_by: string | null;
  event_seq: number;
  created_at: Date;
  finished_at: Date | null;
}

export interface StepTable {
  workflow_id: string;
  step_id: string;
  position: number;
  depends_on: unknown;
  on_failure_of: unknown;
  run: number;
  needs_approval: boolean;
  work: unknown;
  workspace: unknown;
  canceled_at: Date | null;
  skipped_at: Date | null;
  told: Told | null;
}

export interface Tables {
  workflow: WorkflowTable;
  workflow_step: StepTable;
}

export const fromWorkflow = (row: Selectable<WorkflowTable>): WorkflowHead => ({
  id: row.id,
  name: row.name,
  ownerId: row.owner_id,
  ownerName: row.owner_name,
  commitIdentity: row.commit_identity as WorkflowHead['commitIdentity'],
  maxParallel: row.max_parallel,
  run: row.run,
  outcome: row.outcome,
  requestId: row.request_id,
  traceParent: row.trace_parent,
  cancelRequestedAt: row.cancel_requested_at,
  cancelRequestedBy: row.cancel_requested_by,
  createdAt: row.created_at,
  finishedAt: row.finished_at,
});

/** What `outlineOf` reads; a step's work can be a quarter of a megabyte. */
export const outlineColumns = [
  'workflow_id',
  'step_id',
  'position',
  'depends_on',
  'on_failure_of',
  'run',
  'needs_approval',
  'canceled_at',
  'skipped_at',
  'told',
] as const;

export const outlineOf = (row: Pick<Selectable<StepTable>, (typeof outlineColumns)[number]>): StepOutline => ({
  workflowId: row.workflow_id,
  stepId: row.step_id,
  position: row.position,
  dependsOn: row.depends_on as readonly string[],
  onFailureOf: row.on_failure_of as readonly string[],
  run: row.run,
  needsApproval: row.needs_approval,
  canceledAt: row.canceled_at,
  skippedAt: row.skipped_at,
  told: row.told,
});

export const fromStep = (row: Selectable<StepTable>): StepRecord => ({
  ...outlineOf(row),
  work: row.work as Work,
  workspace: row.workspace as CoderWorkspace,
});
