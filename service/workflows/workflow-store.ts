import type { WorkflowOutcome } from '../../modules/contract.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import { traceParent } from '../platform/tracing.ts';
import type { Work } from '../tasks/submit-task.ts';
import { fromStep, fromWorkflow, outlineColumns, outlineOf, type Tables, type WorkflowTable } from './workflow-rows.ts';

/** A step without its work: all that the rules and a list need. */
export interface StepOutline {
  readonly workflowId: string;
  readonly stepId: string;
  readonly position: number;
  readonly dependsOn: readonly string[];
  readonly onFailureOf: readonly string[];
  /** Which run of the workflow this step was last begun anew in; its task has the same number. */
  readonly run: number;
  /** A person must let it begin. */
  readonly needsApproval: boolean;
  /** Set when it can never start. */
  readonly canceledAt: Date | null;
  /** Set when it turned out not to be needed. */
  readonly skippedAt: Date | null;
  /** What watchers were last told of it. */
  readonly told: Told | null;
}
export type Told = 'queued' | 'started' | 'waiting' | 'finished';

export interface StepRecord extends StepOutline {
  readonly work: Work;
  /** The workspace as it was when the workflow was submitted; ids and names only matter. */
  readonly workspace: CoderWorkspace;
}

/** A step as a list shows it. */
export interface StepSummary extends StepOutline {
  readonly agent: string;
  readonly action: string;
  readonly workspaceId: string;
}

/** A workflow without its steps. */
export interface WorkflowHead {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly commitIdentity: { readonly name: string; readonly email: string };
  readonly maxParallel: number;
  /** Counts from 1; each retry is one more. */
  readonly run: number;
  readonly outcome: WorkflowOutcome | null;
  readonly requestId: string | null;
  /** The span that submitted it, as a `traceparent`; null where nothing was traced. */
  readonly traceParent: string | null;
  /** Set when somebody canceled it: nothing starts any more, and its outcome is `canceled` whatever its steps say. */
  readonly cancelRequestedAt: Date | null;
  readonly cancelRequestedBy: string | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
}
export interface WorkflowRecord extends WorkflowHead {
  readonly steps: readonly StepRecord[];
}

/** A step as it is submitted. */
export type NewStep = Pick<
  StepRecord,
  'stepId' | 'position' | 'dependsOn' | 'onFailureOf' | 'needsApproval' | 'work' | 'workspace'
>;

export async function insertWorkflow(
  tx: Transaction,
  workflow: Pick<
    WorkflowHead,
    'id' | 'name' | 'ownerId' | 'ownerName' | 'commitIdentity' | 'maxParallel' | 'requestId' | 'createdAt'
  > & { readonly steps: readonly NewStep[] },
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
      request_id: workflow.requestId,
      trace_parent: traceParent(),
      created_at: workflow.createdAt,
    } as never)
    .execute();
  await tx
    .as<Tables>()
    .insertInto('workflow_step')
    .values(
      workflow.steps.map(
        (step) =>
          ({
            workflow_id: workflow.id,
            step_id: step.stepId,
            position: step.position,
            depends_on: storableJson(step.dependsOn),
            on_failure_of: storableJson(step.onFailureOf),
            needs_approval: step.needsApproval,
            work: storableJson(step.work),
            workspace: storableJson(step.workspace),
          }) as never,
      ),
    )
    .execute();
}

type Reader = Pick<Database, 'as'>;

const headOf = (database: Reader, id: string) =>
  database.as<Tables>().selectFrom('workflow').selectAll().where('id', '=', id);

/** A workflow without its steps, held until the transaction ends. */
export async function lockWorkflow(tx: Transaction, id: string): Promise<WorkflowHead | null> {
  const row = await headOf(tx, id).forUpdate().executeTakeFirst();
  return row ? fromWorkflow(row) : null;
}

export async function readHead(database: Reader, id: string): Promise<WorkflowHead | null> {
  const row = await headOf(database, id).executeTakeFirst();
  return row ? fromWorkflow(row) : null;
}

/** A workflow with all its steps in their order. */
export async function readWorkflow(database: Reader, id: string): Promise<WorkflowRecord | null> {
  const head = await readHead(database, id);
  return head ? { ...head, steps: await readSteps(database, id) } : null;
}

/** Steps with their work, in their order: those that are named, or all, at most `limit`. */
export async function readSteps(
  database: Reader,
  workflowId: string,
  stepIds?: readonly string[],
  limit?: number,
): Promise<readonly StepRecord[]> {
  let query = database
    .as<Tables>()
    .selectFrom('workflow_step')
    .selectAll()
    .where('workflow_id', '=', workflowId)
    .orderBy('position');
  if (stepIds) query = query.where('step_id', 'in', stepIds);
  if (limit !== undefined) query = query.limit(limit);
  return (await query.execute()).map(fromStep);
}

/** All steps without their work, in their order. */
export async function outlineSteps(database: Reader, workflowId: string): Promise<readonly StepOutline[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('workflow_step')
    .select(outlineColumns)
    .where('workflow_id', '=', workflowId)
    .orderBy('position')
    .execute();
  return rows.map(outlineOf);
}

/** Says of steps that they never begin in this run, and why: `canceled_at` or `skipped_at`. */
export async function markNever(
  tx: Transaction,
  workflowId: string,
  stepIds: readonly string[],
  column: 'canceled_at' | 'skipped_at',
  now: Date,
): Promise<void> {
  if (stepIds.length === 0) return;
  await tx
    .as<Tables>()
    .updateTable('workflow_step')
    .set({ [column]: now, told: 'finished' })
    .where('workflow_id', '=', workflowId)
    .where('step_id', 'in', stepIds)
    .execute();
}

async function changeWorkflow(tx: Transaction, id: string, change: Partial<WorkflowTable>): Promise<void> {
  await tx.as<Tables>().updateTable('workflow').set(change).where('id', '=', id).execute();
}

export const markCanceled = (tx: Transaction, id: string, by: string, now: Date): Promise<void> =>
  changeWorkflow(tx, id, { cancel_requested_at: now, cancel_requested_by: by });

export const finishWorkflow = (tx: Transaction, id: string, outcome: WorkflowOutcome, now: Date): Promise<void> =>
  changeWorkflow(tx, id, { outcome, finished_at: now });

/** Begins the next run of a finished workflow, in which the named steps have not begun yet. */
export async function openAgain(tx: Transaction, id: string, run: number, stepIds: readonly string[]): Promise<void> {
  await changeWorkflow(tx, id, {
    run,
    outcome: null,
    finished_at: null,
    cancel_requested_at: null,
    cancel_requested_by: null,
  });
  await tx
    .as<Tables>()
    .updateTable('workflow_step')
    .set({ run, canceled_at: null, skipped_at: null, told: null })
    .where('workflow_id', '=', id)
    .where('step_id', 'in', stepIds)
    .execute();
}
