import { setTimeout as sleep } from 'node:timers/promises';
import { bridgeChannel } from '../../service/bridge/bridge.ts';
import { eventChannel } from '../../service/tasks/task-events.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import type { Ground } from './ground.ts';
import { startHearing, type Hearing } from './hearing.ts';
import { nowMs, until } from './waiting.ts';

/** The way of one task from the request to the lease, in milliseconds. */
export interface Dispatch {
  /** The whole way: request sent → lease reply at the bridge. */
  readonly wholeMs: number;
  /** Task row committed → lease reply at the bridge. */
  readonly innerMs: number;
  readonly requestToCommitMs: number;
  readonly commitToAdmittedMs: number;
  readonly admittedToOfferedMs: number;
  readonly offeredToLeaseMs: number;
}

export type DispatchOnce = () => Promise<Dispatch>;

/** Up to this long before each submission, at random, or all would meet the engine's polling in the same phase. */
export const pauseMs = 60;

const body = (workspaceId: string) => ({
  type: 'opencode',
  payload: { action: 'generate_code', prompt: 'Write a test.', context: { workspace_id: workspaceId } },
});

/** A started service with one waiting bridge; each call submits one task, takes its lease and lets it finish. */
export async function prepareOurs(ground: Ground, databaseUrl: string): Promise<DispatchOnce> {
  const stage = ground.stage(databaseUrl);
  await ground.start(stage);
  const workspace = ground.addWorkspace('dispatch');
  const bridge = await ground.bridge(stage, workspace);
  const api = ground.api(stage);
  const hearing = await startHearing(databaseUrl, [eventChannel, bridgeChannel], ground.afterwards);
  // The service takes a silent bridge for dead after 45 s.
  const beat = setInterval(
    () => void bridge.request('heartbeat', { holding: [], status: 'idle' }).catch(() => undefined),
    10_000,
  );
  ground.afterwards(() => Promise.resolve(clearInterval(beat)));

  return async () => {
    let leasedAt = 0;
    const lease = takeLease(bridge).then((taken) => {
      leasedAt = nowMs();
      return taken;
    });
    await sleep(5 + Math.random() * pauseMs);
    hearing.reset();

    const sentAt = nowMs();
    const submitted = await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', body(workspace.id));
    const { task_id, attempt } = await lease;
    if (task_id !== submitted.id) throw new Error('The bridge was given another task than the one submitted.');
    await until(() => hearing.times(task_id).length >= 3, 2);
    const found = stagesOf(hearing, task_id, workspace.id, sentAt, leasedAt);

    await bridge.request('result', { task_id, attempt, evidence: goodEvidence() });
    await until(async () => (await api.get<{ state: string }>(taskPath(task_id))).state === 'finished', 15);
    return found;
  };
}

const taskPath = (id: string): string => `/api/v2/agents/tasks/${id}`;

/** A task's events begin with `task.queued`, `task.starting`, `task.leased`; the offer wakes the workspace. */
function stagesOf(hearing: Hearing, taskId: string, workspaceId: string, sentAt: number, leasedAt: number): Dispatch {
  const [committedAt, admittedAt] = hearing.times(taskId);
  const [offeredAt] = hearing.times(workspaceId);
  if (committedAt === undefined || admittedAt === undefined || offeredAt === undefined)
    throw new Error('A NOTIFY of the service was not heard.');
  return {
    wholeMs: leasedAt - sentAt,
    innerMs: leasedAt - committedAt,
    requestToCommitMs: committedAt - sentAt,
    commitToAdmittedMs: admittedAt - committedAt,
    admittedToOfferedMs: offeredAt - admittedAt,
    offeredToLeaseMs: leasedAt - offeredAt,
  };
}
