import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { saveLimit, type LimitKey } from '../../service/agents/work-limit.ts';
import { activeStates } from '../../service/tasks/task.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

interface TaskRow {
  id: string;
  workspace_id: string;
  agent: string;
  state: string;
  attempt: number;
  reason: string | null;
  /** When its first attempt began. */
  began: Date | null;
}
type Limit = LimitKey & { places: number | null; starts: number | null };

const perWorkspace = 2;
const windowSeconds = 600;
const agents = ['opencode', 'other'] as const;

let room: TasksRoom;
beforeAll(async () => {
  room = await makeTasksRoom({ perWorkspace });
});
afterAll(() => room.close());

const query = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
  (await room.data.database.pool.query(text, values)).rows as Row[];
const tasksNow = () =>
  query<TaskRow>(
    `select id, workspace_id, agent, state, task.attempt, task.reason,
            (select created_at from attempt where task_id = task.id and number = 1) as began
       from task where state <> 'finished' or submitted_at > $1`,
    [new Date(room.clock.now().getTime() - 2 * windowSeconds * 1_000)],
  );
const isFor = (limit: Limit, task: TaskRow) =>
  limit.target === (limit.kind === 'agent' ? task.agent : task.workspace_id);

/** What is left of a limit, counted in the plainest way. */
function leftOf(limit: Limit, tasks: readonly TaskRow[]) {
  const theirs = tasks.filter((task) => isFor(limit, task));
  const since = room.clock.now().getTime() - windowSeconds * 1_000;
  const active = theirs.filter(({ state }) => (activeStates as readonly string[]).includes(state)).length;
  const begun = theirs.filter(({ began }) => began !== null && began.getTime() > since).length;
  return {
    places: limit.places === null ? Infinity : limit.places - active,
    starts: limit.starts === null ? Infinity : limit.starts - begun,
  };
}

describe('S-108 limits of agents and workspaces', () => {
  const workspaces = [0, 1, 2].map(() => randomUUID());
  /** More often than not one pass could take more of a task's kind than its quota leaves. */
  const places = fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat({ max: 4 }) });
  const starts = fc.oneof({ weight: 1, arbitrary: fc.constant(null) }, { weight: 2, arbitrary: fc.nat({ max: 2 }) });
  const limitsOf = (kind: LimitKey['kind'], targets: readonly string[]) =>
    fc
      .subarray([...targets])
      .chain((some) =>
        fc.tuple(
          ...some.map((target) =>
            fc
              .record({ places, starts })
              .map((own): Limit => ({ organizationId: room.bridge.organizationId, kind, target, ...own })),
          ),
        ),
      );
  /** Limits are made when the room is there. */
  const someLimits = fc
    .constant(null)
    .chain(() => fc.tuple(limitsOf('agent', agents), limitsOf('workspace', workspaces)));
  const someTasks = fc.array(
    fc.record({
      workspace: fc.constantFrom(...workspaces),
      agent: fc.constantFrom(...agents),
      priority: fc.integer({ min: -2, max: 2 }),
      isRetry: fc.nat({ max: 4 }).map((one) => one === 0),
    }),
    { minLength: 6, maxLength: 12 },
  );

  it('are never exceeded, hold nobody else up, and are named by what waits for them', async () => {
    await fc.assert(
      fc.asyncProperty(someLimits, someTasks, fc.nat({ max: 3 }), async ([ofAgents, ofWorkspaces], given, ended) => {
        const limits = [...ofAgents, ...ofWorkspaces].filter(
          ({ places, starts }) => places !== null || starts !== null,
        );
        room.clock.advance(3 * windowSeconds * 1_000);
        await query(`update task set state = 'finished', outcome = 'succeeded' where state <> 'finished'`);
        await query('delete from work_limit');
        await room.data.database.transaction(async (tx) => {
          for (const { places, starts, ...key } of limits)
            await saveLimit(tx, {
              ...key,
              body: {
                ...(places === null ? {} : { maxConcurrentTasks: places }),
                ...(starts === null ? {} : { quota: { maxTaskStarts: starts, windowSeconds } }),
              },
            });
        });
        for (const { workspace, agent, priority, isRetry } of given) {
          const id = await room.submit({ priority }, workspace);
          await query('update task set agent = $2, attempt = $3 where id = $1', [id, agent, isRetry ? 1 : 0]);
        }
        const admitAll = async (): Promise<void> => {
          while ((await room.admission.admitNow()) > 0) for (const limit of limits) await mustHold(limit);
        };
        const mustHold = async (limit: Limit): Promise<void> => {
          const left = leftOf(limit, await tasksNow());
          expect(left.places).toBeGreaterThanOrEqual(0);
          expect(left.starts).toBeGreaterThanOrEqual(0);
        };
        await admitAll();
        const running = (await tasksNow()).filter(({ state }) => state === 'starting').slice(0, ended);
        await query(`update task set state = 'finished', outcome = 'succeeded' where id = any($1)`, [
          running.map(({ id }) => id),
        ]);
        await admitAll();
        await room.admission.lookAtAll();

        const tasks = await tasksNow();
        for (const task of tasks.filter(({ state }) => state === 'queued')) {
          const mine = limits.filter((limit) => isFor(limit, task)).map((limit) => leftOf(limit, tasks));
          const inWorkspace = tasks.filter((one) => one.workspace_id === task.workspace_id && one.state === 'starting');
          const isSpent = task.attempt === 0 && mine.some(({ starts }) => starts <= 0);
          const isFull = inWorkspace.length >= perWorkspace || mine.some(({ places }) => places <= 0);
          expect(isSpent || isFull).toBe(true);
          expect(task.reason).toBe(isSpent ? 'QuotaExceeded' : 'AgentAtCapacity');
        }
      }),
      { numRuns: 20 },
    );
  }, 300_000);

  it('let a task start when the window of a quota has passed', async () => {
    await query(`update task set state = 'finished', outcome = 'succeeded' where state <> 'finished'`);
    await query('delete from work_limit');
    room.clock.advance(3 * windowSeconds * 1_000);
    await room.data.database.transaction((tx) =>
      saveLimit(tx, {
        organizationId: room.bridge.organizationId,
        kind: 'agent',
        target: 'opencode',
        body: { quota: { maxTaskStarts: 1, windowSeconds } },
      }),
    );
    const first = await room.submit();
    await room.admission.admitNow();
    const second = await room.submit();
    await room.admission.admitNow();

    expect(await room.task(first)).toMatchObject({ state: 'starting' });
    expect(await room.task(second)).toMatchObject({ state: 'queued', reason: 'QuotaExceeded' });
    room.clock.advance(windowSeconds * 1_000);
    await room.admission.admitNow();
    expect(await room.task(second)).toMatchObject({ state: 'starting' });
  });

  it('leave the place of a workspace to the steps of a workflow that a task there waits for', async () => {
    await query(`update task set state = 'finished', outcome = 'succeeded' where state <> 'finished'`);
    await query('delete from work_limit');
    const [workspace = ''] = workspaces;
    await room.data.database.transaction((tx) =>
      saveLimit(tx, {
        organizationId: room.bridge.organizationId,
        kind: 'workspace',
        target: workspace,
        body: { maxConcurrentTasks: 1 },
      }),
    );
    const [waiting, step, other, second] = [
      await room.submit({}, workspace),
      await room.submit({}, workspace),
      await room.submit({}, workspace),
      await room.submit({}, workspace),
    ];
    await query(`update task set agent = 'agentzero' where id = any($1)`, [[waiting, second]]);
    while ((await room.admission.admitNow()) > 0);

    const states = await Promise.all([waiting, step, other, second].map(async (id) => (await room.task(id)).state));
    expect(states).toEqual(['starting', 'starting', 'queued', 'starting']);
  });
});
