import { Logger, run } from 'graphile-worker';
import PgBoss from 'pg-boss';
import { startWorker } from '../support/replicas/worker.ts';
import type { Ground } from './ground.ts';
import type { Measurement } from './measurement.ts';
import { seconds } from './statistics.ts';
import { inLanes, until } from './waiting.ts';

const jobs = 200;
const places = 10;
const lanes = 8;

/** How many jobs that do nothing come to their end in a second, each system with ten places on the same server. */
export const measureThroughput: Measurement = {
  name: 'throughput',
  title: `${jobs} jobs that do nothing, ${places} places`,
  limitMs: 200_000,
  async measure(ground, tell) {
    const rows = [];
    for (const [what, measure] of [
      ['ours: submitted over HTTP, done by bridges, settled', ours],
      ['peer graphile-worker', graphileWorker],
      ['peer pg-boss, polling twice a second', pgBoss],
    ] as const) {
      const tookMs = await measure(ground);
      tell(`${what}: ${seconds(tookMs)}`);
      rows.push({
        what,
        value: `${(jobs / (tookMs / 1_000)).toFixed(0)} a second`,
        note: `${jobs} in ${seconds(tookMs)}`,
      });
    }
    return rows;
  },
};

async function ours(ground: Ground): Promise<number> {
  const stage = ground.stage(await ground.newDatabase('throughput_ours'));
  await ground.start(stage);
  const workspaces = Array.from({ length: places }, (_none, index) => ground.addWorkspace(`throughput-${index}`));
  for (const workspace of workspaces) {
    const proof = await ground.proof(stage, workspace);
    const { id: workspaceId, agentId } = workspace;
    const work = (): Promise<void> => Promise.resolve();
    const worker = startWorker({ url: stage.serviceUrl, proof, workspaceId, agentId, slots: 1, work });
    ground.afterwards(() => worker.stop());
  }
  const api = ground.api(stage);
  const ids: string[] = [];
  const from = performance.now();
  await inLanes(jobs, lanes, async (index) => {
    const context = { workspace_id: workspaces[index % places]?.id };
    const payload = { action: 'generate_code', prompt: 'Write a test.', context };
    ids.push((await api.post<{ id: string }>('/api/v2/agents/opencode/tasks', { type: 'opencode', payload })).id);
  });
  for (const id of ids)
    await until(
      async () =>
        (await api.get<{ state: string }>(`/api/v2/agents/opencode/tasks/${id}?wait=20`)).state === 'finished',
      20,
    );
  return performance.now() - from;
}

async function graphileWorker(ground: Ground): Promise<number> {
  let done = 0;
  const runner = await run({
    connectionString: await ground.newDatabase('throughput_graphile'),
    noHandleSignals: true,
    concurrency: places,
    logger: new Logger(() => () => undefined),
    taskList: { work: () => void (done += 1) },
  });
  ground.afterwards(() => runner.stop());
  const from = performance.now();
  await inLanes(jobs, lanes, () => runner.addJob('work', { prompt: 'Write a test.' }));
  await until(() => done === jobs, 2);
  return performance.now() - from;
}

async function pgBoss(ground: Ground): Promise<number> {
  const connectionString = await ground.newDatabase('throughput_pg_boss');
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
  boss.on('error', () => undefined);
  await boss.start();
  ground.afterwards(() => boss.stop({ graceful: false }));
  await boss.createQueue('work');
  let done = 0;
  await boss.work('work', { pollingIntervalSeconds: 0.5, batchSize: places }, (batch) =>
    Promise.resolve(void (done += batch.length)),
  );
  const from = performance.now();
  await inLanes(jobs, lanes, () => boss.send('work', { prompt: 'Write a test.' }));
  await until(() => done === jobs, 2);
  return performance.now() - from;
}
