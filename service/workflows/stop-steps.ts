import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { openTaskIdsOfWorkflow } from '../tasks/step-tasks.ts';
import type { WorkflowHead } from './workflow-store.ts';

export interface StopStepsParts {
  readonly database: Database;
  /** Stops one task on behalf of a person; throws `task_finished` when it ended by itself. */
  readonly stopTask: (taskId: string, actorId: string, requestId: string) => Promise<unknown>;
}

/** Stops whatever still runs of a canceled workflow, each task with its own receipt. Doing it again is harmless. */
export async function stopSteps(
  parts: StopStepsParts,
  workflow: WorkflowHead,
  requestId = workflow.requestId ?? '',
): Promise<void> {
  const by = workflow.cancelRequestedBy ?? workflow.ownerId;
  for (const taskId of await openTaskIdsOfWorkflow(parts.database, workflow.id))
    try {
      await parts.stopTask(taskId, by, requestId);
    } catch (error) {
      if (!(error instanceof ServiceError && error.code === 'task_finished')) throw error;
    }
}
