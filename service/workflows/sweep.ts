import type { Engine, EngineStatus } from '../platform/engine.ts';
import { takeTurn, runWorkflowId, type RunParts } from './run-workflow.ts';
import { unfinishedWorkflows } from './workflow-lists.ts';

/** The engine's words for "the loop still runs". */
const alive: readonly (EngineStatus | null)[] = ['queued', 'delayed', 'running'];

/** A workflow this young may still be on its way into the engine's tables. */
const graceMs = 60_000;

/** Drives workflows whose loop is over although they are not, one turn each minute, so that none waits for ever. */
export async function sweepLostWorkflows(
  engine: Pick<Engine, 'statuses'>,
  parts: RunParts,
  pageSize = 1_000,
): Promise<void> {
  const before = new Date(parts.clock.now().getTime() - graceMs);
  for (let after: string | undefined; ;) {
    const open = await unfinishedWorkflows(parts.database, before, { after, limit: pageSize });
    await driveLost(engine, parts, open);
    after = open.at(-1)?.id;
    if (open.length < pageSize) return;
  }
}

async function driveLost(
  engine: Pick<Engine, 'statuses'>,
  parts: RunParts,
  open: Awaited<ReturnType<typeof unfinishedWorkflows>>,
): Promise<void> {
  const statuses = await engine.statuses(open.map(({ id, run }) => runWorkflowId(id, run)));
  for (const { id, run } of open) {
    const status = statuses.get(runWorkflowId(id, run)) ?? null;
    if (alive.includes(status)) continue;
    parts.log.error({ workflowId: id, status }, 'a workflow lost its loop');
    // One that cannot go on keeps nobody behind it waiting.
    await takeTurn(parts, id).catch((error: unknown) =>
      parts.log.error({ error, workflowId: id }, 'cannot drive a workflow that lost its loop'),
    );
  }
}
