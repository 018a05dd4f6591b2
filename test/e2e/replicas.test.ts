import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/engine-harness.ts';
import type { Stage } from '../support/stage/stage.ts';
import { startReplicas, type Replicas } from '../support/replicas/replicas.ts';

let test: TestDatabase;
let replicas: Replicas;

beforeEach(async () => {
  test = await createTestDatabase();
  replicas = await startReplicas({ databaseUrl: test.url });
});
afterEach(async () => {
  await replicas?.end();
  await test.drop();
});

interface TaskAnswer {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly attempt: number;
}

const submit = (api: Replicas['api'], workspaceId: string, key: string): Promise<TaskAnswer> =>
  api.post('/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: {
      action: 'generate_code',
      prompt: `Do it, and push as ${key} once.`,
      context: { workspace_id: workspaceId },
    },
  });

const read = (api: Replicas['api'], id: string): Promise<TaskAnswer> => api.get(`/api/v2/agents/tasks/${id}`);

/** Which process runs the durable function of a task's first attempt. */
async function executorOf(taskId: string): Promise<string | undefined> {
  const { rows } = await test.database.pool.query<{ executor_id: string }>(
    `select executor_id from dbos.workflow_status where workflow_uuid like '%' || $1 || '%' and status = 'PENDING'`,
    [taskId],
  );
  return rows[0]?.executor_id;
}

/** They were started one after the other, so their places in the list tell which is which. */
async function stageOf(executorId: string): Promise<Stage> {
  const { rows } = await test.database.pool.query<{ id: string }>(
    'select id from outrigger.replica order by started_at',
  );
  const stage = replicas.stages[rows.findIndex(({ id }) => id === executorId)];
  if (stage === undefined) throw new Error(`${executorId} is not on the list of replicas`);
  return stage;
}

describe('S-103 three service processes on one database', () => {
  it('S-103 runs a task that was submitted at one through a bridge that is connected to another', async () => {
    const [first, second, third] = replicas.stages;
    if (!first || !second || !third) throw new Error('three replicas');
    const worker = await replicas.addWorker('canoe', { url: second.serviceUrl });

    const { id } = await submit(replicas.apiOf(first), worker.workspaceId, 'cross');

    await until('the task to finish', async () => (await read(replicas.apiOf(third), id)).state === 'finished');
    expect(await read(replicas.apiOf(third), id)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
    expect([...replicas.forge.counts]).toEqual([['cross/1', 1]]);
  });

  it('S-103 hands the work of a killed process to another, and no attempt runs twice', async () => {
    const worker = await replicas.addWorker('canoe', { slots: 4, workMs: 6_000 });
    const ids = await Promise.all(
      replicas.stages.map(
        async (stage, index) => (await submit(replicas.apiOf(stage), worker.workspaceId, `task-${index}`)).id,
      ),
    );
    await until('each to be begun', () => worker.begun.length === 3);
    const [id = ''] = ids;
    const before = await executorOf(id);
    const victim = (await stageOf(before ?? '')).service();

    victim?.kill('SIGKILL');
    await victim?.exited;
    const killedAt = Date.now();

    const after = await until(
      'another process to take over',
      async () => {
        const now = await executorOf(id);
        return now !== undefined && now !== before ? now : null;
      },
      60_000,
    );
    const takeoverMs = Date.now() - killedAt;
    process.stderr.write(`takeover at defaults: ${takeoverMs} ms\n`);
    expect(after).not.toBe(before);
    expect(takeoverMs).toBeLessThan(45_000);
    for (const one of ids)
      await until('each to finish', async () => (await read(replicas.api, one)).state === 'finished');
    for (const one of ids) expect(await read(replicas.api, one)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
    expect(worker.begun.map(({ task_id }) => task_id).sort()).toEqual([...ids].sort());
    expect([...replicas.forge.counts.values()]).toEqual([1, 1, 1]);
  });
});
