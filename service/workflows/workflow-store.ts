import type { WorkflowOutcome } from '../../modules/contract.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import type { Work } from '../tasks/submit-task.ts';

export interface StepRecord {
  readonly stepId: string;
  readonly position: number;
  readonly dependsOn: readonly string[];
  readonly work: Work;
  /** The workspace as it was when the workflow was submitted; ids and names only matter. */
  readonly workspace: CoderWorkspace;
  /** Set when a dependency failed, so that the step never starts. */
  readonly canceledAt: Date | null;
}

export interface WorkflowRecord {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly commitIdentity: { readonly name: string; readonly email: string };
  readonly maxParallel: number;
  readonly outcome: WorkflowOutcome | null;
  readonly requestId: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  readonly steps: readonly StepRecord[];
}

interface WorkflowTable {
  id: string;
  name: string;
  owner_id: string;
  owner_name: string;
  commit_identity: unknown;
  max_parallel: number;
  outcome: WorkflowOutcome | null;
  request_id: string | null;
  created_at: Date;
  finished_at: Date | null;
}
interface StepTable {
  workflow_id: string;
  step_id: string;
  position: number;
  depends_on: unknown;
  work: unknown;
  workspace: unknown;
  canceled_at: Date | null;
}
interface Tables {
  workflow: WorkflowTable;
  workflow_step: StepTable;
}

export async function insertWorkflow(
  tx: Transaction,
  workflow: Omit<WorkflowRecord, 'outcome' | 'finishedAt'>,
): Promise<void> {
  await tx
    .as<Tables>()
    .insertInto('workflow')
    .values({
      id: workflow.id,
      name: workflow.name,
      owner_id: workflow.ownerId,
      owner_name: workflow.ownerName,
      commit_identity: storableJson(workflow.commitIdentity),
      max_parallel: workflow.maxParallel,
      outcome: null,
      request_id: workflow.requestId,
      created_at: workflow.createdAt,
      finished_at: null,
    })
    .execute();
  await tx
    .as<Tables>()
    .insertInto('workflow_step')
    .values(
      workflow.steps.map((step) => ({
        workflow_id: workflow.id,
        step_id: step.stepId,
        position: step.position,
        depends_on: storableJson(step.dependsOn),
        work: storableJson(step.work),
        workspace: storableJson(step.workspace),
        canceled_at: null,
      })),
    )
    .execute();
}

/** A workflow with its steps in their order; `lock` holds it until the transaction ends. */
export async function readWorkflow(
  database: Pick<Database, 'as'>,
  id: string,
  lock = false,
): Promise<WorkflowRecord | null> {
  const tables = database.as<Tables>();
  const query = tables.selectFrom('workflow').selectAll().where('id', '=', id);
  const row = await (lock ? query.forUpdate() : query).executeTakeFirst();
  if (!row) return null;
  const steps = await tables
    .selectFrom('workflow_step')
    .selectAll()
    .where('workflow_id', '=', id)
    .orderBy('position')
    .execute();
  return {
    id: row.id,
    name: row.name,
    ownerId: row.owner_id,
    ownerName: row.owner_name,
    commitIdentity: row.commit_identity as WorkflowRecord['commitIdentity'],
    maxParallel: row.max_parallel,
    outcome: row.outcome,
    requestId: row.request_id,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
    steps: steps.map((step) => ({
      stepId: step.step_id,
      position: step.position,
      dependsOn: step.depends_on as readonly string[],
      work: step.work as Work,
      workspace: step.workspace as CoderWorkspace,
      canceledAt: step.canceled_at,
    })),
  };
}

export async function cancelStep(tx: Transaction, workflowId: string, stepId: string, now: Date): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('workflow_step')
    .set({ canceled_at: now })
    .where('workflow_id', '=', workflowId)
    .where('step_id', '=', stepId)
    .execute();
}

export async function finishWorkflow(tx: Transaction, id: string, outcome: WorkflowOutcome, now: Date): Promise<void> {
  await tx.as<Tables>().updateTable('workflow').set({ outcome, finished_at: now }).where('id', '=', id).execute();
}

export async function unfinishedWorkflowIds(database: Database, createdBefore: Date): Promise<readonly string[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('workflow')
    .select('id')
    .where('outcome', 'is', null)
    .where('created_at', '<', createdBefore)
    .orderBy('created_at')
    .limit(1_000)
    .execute();
  return rows.map((row) => row.id);
}

/** Ids of an owner's workflows, newest first. */
export async function listWorkflowIds(
  database: Database,
  filter: { ownerId: string; limit: number; cursor?: string | undefined },
): Promise<readonly string[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow')
    .select('id')
    .where('owner_id', '=', filter.ownerId)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.cursor) query = query.where('id', '<', filter.cursor);
  return (await query.execute()).map((row) => row.id);
}
