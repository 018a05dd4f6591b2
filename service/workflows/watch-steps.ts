import type { Listener } from '../platform/listener.ts';
import { makeEventStream, type EventStream } from '../tasks/event-stream.ts';
import { stepMovedChannel } from '../tasks/task-events.ts';
import { takeTurn, type RunParts } from './run-workflow.ts';
import { workflowEvents } from './workflow-events.ts';

/**
 * The events of workflows, and whoever takes a turn of a workflow at once when a step begins, waits or is decided about.
 *
 * Safety  every process hears of a step and looks; who holds the workflow's row first does what is to be done, and the
 *         others find nothing new. A lost notification costs time: the workflow's own loop looks too.
 */
export function makeProgress(parts: RunParts & { readonly listener: Listener }): EventStream {
  const { database, listener, log } = parts;
  /** Workflows being looked at; true where another look is due. */
  const looking = new Map<string, boolean>();

  async function look(workflowId: string): Promise<void> {
    do {
      looking.set(workflowId, false);
      await takeTurn(parts, workflowId);
    } while (looking.get(workflowId));
  }

  listener.on(
    stepMovedChannel,
    (workflowId) => {
      if (looking.has(workflowId)) return void looking.set(workflowId, true);
      void look(workflowId)
        .catch((error: Error) => log.warn({ error: error.message, workflowId }, 'cannot look after a workflow'))
        .finally(() => looking.delete(workflowId));
    },
    () => undefined,
  );
  return makeEventStream({ database, listener, log, source: workflowEvents });
}
