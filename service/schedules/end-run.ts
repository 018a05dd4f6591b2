import { ServiceError } from '../platform/errors.ts';
import { cancelWorkflow, type CancelParts } from '../workflows/cancel-workflow.ts';
import type { ScheduleRun } from './schedule.ts';

/** Ends the task or the workflow of a run on behalf of its owner. Harmless when it has ended, or is being ended. */
export async function endRun(
  parts: CancelParts,
  { taskId, workflowId }: Pick<ScheduleRun, 'taskId' | 'workflowId'>,
  ownerId: string,
  requestId: string,
): Promise<void> {
  try {
    if (taskId !== null) await parts.stopTask(taskId, ownerId, requestId);
    if (workflowId !== null) await cancelWorkflow(parts, workflowId, ownerId, requestId);
  } catch (error) {
    if (!(error instanceof ServiceError) || !over.has(error.kind)) throw error;
  }
}

const over: ReadonlySet<string> = new Set(['conflict', 'not_found']);
