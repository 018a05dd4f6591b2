import type { Engine, EngineStatus } from '../platform/engine.ts';
import { advance, runWorkflowId, type RunParts } from './run-workflow.ts';
import { unfinishedWorkflowIds } from './workflow-store.ts';

/** The engine's words for "the loop still runs". */
const alive: readonly (EngineStatus | null)[] = ['queued', 'delayed', 'running'];

/** A workflow this young may still be on its way into the engine's tables. */
const graceMs = 60_000;

/** Drives workflows whose loop is over although they are not, one turn each minute, so that none waits for ever. */
export async function sweepLostWorkflows(engine: Pick<Engine, 'status'>, parts: RunParts): Promise<void> {
  const before = new Date(parts.clock.now().getTime() - graceMs);
  for (const id of await unfinishedWorkflowIds(parts.database, before)) {
    const status = await engine.status(runWorkflowId(id));
    if (alive.includes(status)) continue;
    parts.log.error({ workflowId: id, status }, 'a workflow lost its loop');
    await parts.database.transaction((tx) => advance(tx, parts, id));
    await parts.admit();
  }
}
