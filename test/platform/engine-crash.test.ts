import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createEngine, type Engine } from '../../service/platform/engine.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { forkEngine, until, type EngineProcess, type EngineProcessOptions } from '../support/engine-harness.ts';

interface Effect {
  readonly workflow_id: string;
  readonly name: string;
  readonly executor_id: string;
  readonly detail: { token: string; message: unknown } | null;
}

/** A dozen processes come and go in one of these; each takes a second to begin, more on a busy machine. */
jest.setTimeout(400_000);

const replica = { singleProcess: false, heartbeatMs: 200, deadAfterMs: 1500 } as const;

let test: TestDatabase;
/** Not started: it enqueues, signals and asks, as a process that only serves HTTP does. */
let outside: Engine;
let processes: EngineProcess[];

beforeEach(async () => {
  test = await createTestDatabase();
  await test.database.pool.query(
    'create table effect (id bigserial, workflow_id text not null, name text not null, executor_id text not null, detail jsonb, at timestamptz default now())',
  );
  outside = createEngine({ database: test.database, executorId: 'outside', log: silentLogger, singleProcess: false });
  processes = [];
});

afterEach(async () => {
  await Promise.all(processes.map((engine) => engine.kill()));
  await test.drop();
});

async function start(options: Omit<EngineProcessOptions, 'url'> = {}): Promise<EngineProcess> {
  const engine = await forkEngine({ url: test.url, ...options });
  processes.push(engine);
  return engine;
}

const enqueue = (workflow: string, id: string, input: unknown = {}) =>
  test.database.transaction((tx) => outside.enqueue(tx, { workflow, id, input }));

async function effects(workflowId: string, name?: string): Promise<Effect[]> {
  const { rows } = await test.database.pool.query<Effect>(
    'select workflow_id, name, executor_id, detail from effect where workflow_id = $1 and ($2::text is null or name = $2) order by id',
    [workflowId, name ?? null],
  );
  return rows;
}

/** The workflow reached its wait in this process, so a kill now hits it there. */
const waitsIn = (engine: EngineProcess, workflowId: string) =>
  until(`${workflowId} to wait in ${engine.executorId}`, async () => {
    const { rows } = await test.database.pool.query(
      `select from dbos.workflow_status w join dbos.operation_outputs o using (workflow_uuid)
       where workflow_uuid = $1 and w.status = 'PENDING' and executor_id = $2 and o.function_name = 'DBOS.sleep'`,
      [workflowId, engine.executorId],
    );
    return rows.length > 0;
  });

const ends = (workflowId: string, status: string, deadlineMs?: number) =>
  until(`${workflowId} to end as ${status}`, async () => (await outside.status(workflowId)) === status, deadlineMs);

describe('S-70 S-05 durable work survives kill -9 of the service', () => {
  it('S-05 finishes what was accepted before the kill, without running a recorded step again', async () => {
    const first = await start();
    await enqueue('two-steps', 'task-1');
    await until('the second step to be open', async () => (await effects('task-1', 'second')).length === 1);

    await first.kill();
    const second = await start();
    await ends('task-1', 'succeeded');

    expect(await effects('task-1', 'first')).toHaveLength(1);
    expect((await effects('task-1', 'second')).map((row) => row.executor_id)).toEqual([
      first.executorId,
      second.executorId,
    ]);
  });

  it('S-05 keeps what was accepted while no engine ran', async () => {
    await enqueue('wait', 'task-1', { timeoutMs: 0 });
    expect(await outside.status('task-1')).toBe('queued');

    await start();

    await ends('task-1', 'succeeded');
  });

  it('delivers a signal that was sent while the service was dead, with the step result of before', async () => {
    const first = await start();
    await enqueue('wait', 'task-1', { timeoutMs: 60_000 });
    await waitsIn(first, 'task-1');

    await first.kill();
    await outside.signal('task-1', 'go', { answer: 42 }, 'key-1');
    await outside.signal('task-1', 'go', { answer: 42 }, 'key-1');
    await start();
    await ends('task-1', 'succeeded');

    expect(await effects('task-1', 'before')).toHaveLength(1);
    expect((await effects('task-1', 'after')).map((row) => row.detail)).toEqual([
      { token: `${first.executorId}-token`, message: { answer: 42 } },
    ]);
  });

  it('counts the deadline of a wait from its first call, across restarts', async () => {
    const timeoutMs = 4000;
    const first = await start();
    await enqueue('wait', 'task-1', { timeoutMs });
    await waitsIn(first, 'task-1');
    await first.kill();
    await until('the deadline to pass while the service is dead', async () => {
      const { rows } = await test.database.pool.query(
        `select from effect where name = 'before' and at < now() - $1 * interval '1 millisecond'`,
        [timeoutMs + 500],
      );
      return rows.length === 1;
    });

    const restarted = Date.now();
    await start();
    await ends('task-1', 'succeeded');

    expect(Date.now() - restarted).toBeLessThan(timeoutMs);
    expect((await effects('task-1', 'after')).map((row) => row.detail?.message)).toEqual([null]);
  });

  it('S-05 never gives up a workflow for the deaths it only waited through', async () => {
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    for (let kills = 0; kills < 11; kills += 1) {
      const engine = await start({ maxRecoveries: 2 });
      await waitsIn(engine, 'task-1');
      await engine.kill();
    }

    await outside.signal('task-1', 'go', 'now', 'key-1');
    await start({ maxRecoveries: 2 });
    await ends('task-1', 'succeeded');

    expect(await effects('task-1', 'before')).toHaveLength(1);
    expect(await effects('task-1', 'after')).toHaveLength(1);
  });

  it('gives up a workflow that kills its process each time, and nothing beside it', async () => {
    const maxRecoveries = 2;
    const first = await start({ maxRecoveries });
    await enqueue('wait', 'innocent', { timeoutMs: 120_000 });
    await waitsIn(first, 'innocent');
    await enqueue('poison', 'poison');
    await first.exited;

    await (
      await start({ maxRecoveries })
    ).exited;
    const third = await start({ maxRecoveries });
    // Its pause may be over by the time we look, on a busy machine.
    expect(['delayed', 'running']).toContain(await outside.status('poison'));
    await third.exited;
    const survivor = await start({ maxRecoveries });
    await ends('poison', 'gave_up');
    await waitsIn(survivor, 'innocent');
    await outside.signal('innocent', 'go', 'now', 'key-1');
    await ends('innocent', 'succeeded');

    expect(await effects('poison', 'die')).toHaveLength(maxRecoveries + 1);
    expect(survivor.child.exitCode).toBeNull();
  });
});

describe('several replicas share one database (part of S-103)', () => {
  it('takes over the work of a replica that died', async () => {
    const first = await start(replica);
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');
    const second = await start(replica);

    await first.kill();
    await waitsIn(second, 'task-1');
    await outside.signal('task-1', 'go', 'now', 'key-1');
    await ends('task-1', 'succeeded');

    expect(await effects('task-1', 'before')).toHaveLength(1);
    expect((await effects('task-1', 'after')).map((row) => row.executor_id)).toEqual([second.executorId]);
  });

  it('lets a replica that was only paused change nothing any more', async () => {
    const first = await start(replica);
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');
    const second = await start(replica);

    first.child.kill('SIGSTOP');
    await waitsIn(second, 'task-1');
    first.child.kill('SIGCONT');
    await until('the first replica to beat again', async () => {
      const { rowCount } = await test.database.pool.query('select from replica where id = $1', [first.executorId]);
      return rowCount === 1;
    });
    await outside.signal('task-1', 'go', 'now', 'key-1');
    await ends('task-1', 'succeeded');
    await first.stop();

    expect((await effects('task-1', 'after')).map((row) => row.executor_id)).toEqual([second.executorId]);
  });

  it('leaves the work of a living replica alone', async () => {
    const first = await start(replica);
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');

    const second = await start(replica);
    const seen = () =>
      test.database.pool
        .query<{ seen_at: Date }>('select seen_at from replica where id = $1', [second.executorId])
        .then(({ rows }) => rows[0]?.seen_at.getTime() ?? 0);
    const joined = await seen();
    await until(
      'the second replica to beat for longer than the dead line',
      async () => (await seen()) > joined + 2 * replica.deadAfterMs,
    );

    await waitsIn(first, 'task-1');
  });

  it('hands over at once what waits in a replica that stops in good order', async () => {
    const first = await start({ ...replica, deadAfterMs: 60_000 });
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');
    const second = await start({ ...replica, deadAfterMs: 60_000 });

    expect(await first.stop()).toBe(0);

    await waitsIn(second, 'task-1');
  });

  it('runs a schedule once per tick, however many replicas there are', async () => {
    await Promise.all([start({ ...replica, cron: '* * * * * *' }), start({ ...replica, cron: '* * * * * *' })]);

    const ticks = async () => (await test.database.pool.query<Effect>(`select * from effect where name = 'tick'`)).rows;
    await until('four ticks', async () => (await ticks()).length >= 4);

    const times = (await ticks()).map((tick) => tick.workflow_id);
    expect(new Set(times).size).toBe(times.length);
    expect(times.every((time) => time.endsWith('.000Z'))).toBe(true);
  });
});

describe('one service per embedded database', () => {
  it('refuses a second engine on the same data, and leaves the first alone', async () => {
    const first = await start();
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');

    const second = await start();

    expect(await second.exited).toMatchObject({ code: 2, stderr: 'conflict data_in_use' });
    await waitsIn(first, 'task-1');
  });

  it('takes over everything at once, whichever process had it', async () => {
    const first = await start(replica);
    await enqueue('wait', 'task-1', { timeoutMs: 120_000 });
    await waitsIn(first, 'task-1');
    await first.kill();

    const alone = await start({ singleProcess: true });

    await waitsIn(alone, 'task-1');
  });

  it('prints nothing of its own, deprecations and unhandled rejections included', async () => {
    const engine = await start();
    await enqueue('wait', 'task-1', { timeoutMs: 0 });
    await ends('task-1', 'succeeded');

    expect(await engine.stop()).toBe(0);
    expect((await engine.exited).stderr).toBe('');
  });
});
