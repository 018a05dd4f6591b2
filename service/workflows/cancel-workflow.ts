import type { Engine } from '../platform/engine.ts';
import { ServiceError, notFound } from '../platform/errors.ts';
import { advance, auditOf, firstStep, lookTopic, runWorkflowId, type RunParts } from './run-workflow.ts';
import { stopSteps } from './stop-steps.ts';
import { appendWorkflowEvents } from './workflow-events.ts';
import { lockWorkflow, markCanceled, readHead, type WorkflowHead } from './workflow-store.ts';

export interface CancelParts extends RunParts {
  readonly engine: Pick<Engine, 'signal'>;
}

/**
 * Ends a workflow on request: no further step starts, and running tasks are stopped, each with its receipt. It is
 * `finished` with outcome `canceled` once all of them have ended, however they ended. Canceling again is harmless.
 *
 * Errors  `not_found`; `conflict` when the workflow is finished with another outcome.
 * Safety  the mark and every step's start hold the workflow's row, so a step that ends at the same moment starts no
 *         other. Whoever crashes after the mark leaves the stopping to the workflow's own loop.
 */
export async function cancelWorkflow(
  parts: CancelParts,
  workflowId: string,
  actorId: string,
  requestId: string,
): Promise<WorkflowHead> {
  await parts.database.transaction(async (tx) => {
    const workflow = await lockWorkflow(tx, workflowId);
    if (!workflow) throw notFound(`Workflow '${workflowId}'`);
    if (workflow.outcome === 'canceled' || workflow.cancelRequestedAt) return;
    if (workflow.outcome) throw alreadyFinished(workflow);
    const at = parts.clock.now();
    await markCanceled(tx, workflowId, actorId, at);
    await appendWorkflowEvents(tx, workflow, [{ type: 'workflow.cancel_requested', at, data: { by: actorId } }]);
    await parts.audit.append(tx, {
      ...auditOf(workflow, await firstStep(tx, workflowId)),
      actor: `user:${actorId}`,
      action: 'workflow.cancel_requested',
      outcome: 'success',
      requestId,
    });
    await advance(tx, parts, workflowId);
  });
  const canceled = await readHead(parts.database, workflowId);
  if (!canceled) throw notFound(`Workflow '${workflowId}'`);
  if (!canceled.outcome) await stopSteps(parts, canceled, requestId);
  await parts.engine.signal(
    runWorkflowId(workflowId, canceled.run),
    lookTopic,
    {},
    `cancel:${workflowId}:${canceled.run}`,
  );
  return (await readHead(parts.database, workflowId)) ?? canceled;
}

const alreadyFinished = (workflow: WorkflowHead): ServiceError =>
  new ServiceError(
    'conflict',
    'workflow_finished',
    `This workflow is already finished (${workflow.outcome}). There is nothing to cancel.`,
  );
