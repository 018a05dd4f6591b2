import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createEngine, type DurableContext, type Engine, type EngineOptions } from '../../service/platform/engine.ts';
import { createLogger, silentLogger } from '../../service/platform/logger.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startTestEngine, until } from '../support/engine-harness.ts';

let test: TestDatabase;
let engines: Engine[];

beforeEach(async () => {
  test = await createTestDatabase();
  engines = [];
});

afterEach(async () => {
  for (const engine of engines) await engine.stop();
  await test.drop();
});

async function start(prepare: (engine: Engine) => void, options: Partial<EngineOptions> = {}): Promise<Engine> {
  const engine = await startTestEngine(test.database, prepare, options);
  engines.push(engine);
  return engine;
}

const enqueue = (
  engine: Engine,
  id: string,
  more: { workflow?: string; input?: unknown; priority?: number; delayMs?: number } = {},
) => test.database.transaction((tx) => engine.enqueue(tx, { workflow: 'work', id, input: {}, ...more }));

const ends = (engine: Engine, id: string, status: string) =>
  until(`${id} to end as ${status}`, async () => (await engine.status(id)) === status);

/** An engine whose one function waits for `go` and then writes down what it got. */
async function startWaiting(options: Partial<EngineOptions> = {}) {
  const received: { id: string; message: unknown }[] = [];
  const waits = async (context: DurableContext) => {
    const message = await context.receive('go', 60_000);
    await context.step('note', () => Promise.resolve(received.push({ id: context.workflowId, message })));
  };
  const engine = await start((new_) => new_.register('work', waits), options);
  return { engine, received };
}

/** Signals are ordered by the millisecond they came in. */
const nextMillisecond = () => {
  const now = Date.now();
  return until('the next millisecond', () => Date.now() > now);
};

const waiting = async (count: number) => {
  await until(`${count} workflows to wait`, async () => {
    const { rows } = await test.database.pool.query<{ count: number }>(
      `select count(*)::int as count from dbos.workflow_status w join dbos.operation_outputs o using (workflow_uuid)
       where w.status = 'PENDING' and o.function_name = 'DBOS.sleep'`,
    );
    return rows[0]?.count === count;
  });
};

describe('S-70 S-05 enqueue in the caller’s transaction', () => {
  it('S-05 runs what was committed', async () => {
    const inputs: unknown[] = [];
    const engine = await start((new_) => new_.register('work', async (_, input) => void inputs.push(input)));

    await enqueue(engine, 'task-1', { input: { prompt: 'hello', nested: [1, null] } });
    await ends(engine, 'task-1', 'succeeded');

    expect(inputs).toEqual([{ prompt: 'hello', nested: [1, null] }]);
  });

  it('S-05 never runs what was rolled back', async () => {
    const engine = await start((new_) => new_.register('work', async () => undefined));

    const rolledBack = test.database.transaction(async (tx) => {
      await engine.enqueue(tx, { workflow: 'work', id: 'task-1', input: {} });
      throw new Error('the audit row cannot be written');
    });

    await expect(rolledBack).rejects.toThrow('audit row');
    expect(await engine.status('task-1')).toBeNull();
  });

  it('S-05 keeps one workflow per id, within one transaction and after it ended', async () => {
    let runs = 0;
    const engine = await start((new_) => new_.register('work', async () => void (runs += 1)));

    await test.database.transaction(async (tx) => {
      await engine.enqueue(tx, { workflow: 'work', id: 'task-1', input: 1 });
      await engine.enqueue(tx, { workflow: 'work', id: 'task-1', input: 2 });
      await tx.client.query('select 1');
    });
    await ends(engine, 'task-1', 'succeeded');
    await enqueue(engine, 'task-1');
    await enqueue(engine, 'task-2');
    await ends(engine, 'task-2', 'succeeded');

    expect(runs).toBe(2);
    expect(await engine.status('task-1')).toBe('succeeded');
  });

  it('S-05 refuses an id that belongs to another workflow, and the transaction stays usable', async () => {
    const engine = createEngine({
      database: test.database,
      executorId: 'outside',
      log: silentLogger,
      singleProcess: true,
    });
    await enqueue(engine, 'task-1');

    await test.database.transaction(async (tx) => {
      const refused = engine.enqueue(tx, { workflow: 'other', id: 'task-1', input: {} });
      await expect(refused).rejects.toMatchObject({ kind: 'conflict', code: 'workflow_id_taken' });
      await engine.enqueue(tx, { workflow: 'other', id: 'task-2', input: {} });
    });

    expect(await engine.status('task-2')).toBe('queued');
  });

  it('S-05 writes every option where the engine reads it', async () => {
    const engine = createEngine({
      database: test.database,
      executorId: 'outside',
      log: silentLogger,
      singleProcess: true,
    });
    await enqueue(engine, 'task-1', { priority: 7, delayMs: 90_000 });

    const { rows } = await test.database.pool.query(
      `select name, status, queue_name, priority, application_version, application_name,
         abs(delay_until_epoch_ms - extract(epoch from now()) * 1000 - 90000) < 10000 as delayed
       from dbos.workflow_status where workflow_uuid = 'task-1'`,
    );

    expect(rows).toEqual([
      {
        name: 'work',
        status: 'DELAYED',
        queue_name: 'outrigger-work',
        priority: 7,
        application_version: 'engine-1',
        application_name: 'outrigger',
        delayed: true,
      },
    ]);
  });

  it('bounds its one queue and says how often it polls', async () => {
    await start((new_) => new_.register('work', async () => undefined), { concurrency: 123, pollMs: 40 });

    const { rows } = await test.database.pool.query(
      'select name, worker_concurrency, polling_interval_sec from dbos.queues',
    );

    expect(rows).toEqual([{ name: 'outrigger-work', worker_concurrency: 123, polling_interval_sec: 0.04 }]);
  });
});

describe('engine: order and time', () => {
  it('starts the lowest priority number first', async () => {
    const order: string[] = [];
    const outside = createEngine({
      database: test.database,
      executorId: 'outside',
      log: silentLogger,
      singleProcess: true,
    });
    await test.database.transaction(async (tx) => {
      for (const priority of [5, 1, 9, 3, 0])
        await outside.enqueue(tx, { workflow: 'work', id: `p${priority}`, input: {}, priority });
    });

    const engine = await start((new_) => new_.register('work', async ({ workflowId }) => void order.push(workflowId)), {
      concurrency: 1,
    });
    await ends(engine, 'p9', 'succeeded');

    expect(order).toEqual(['p0', 'p1', 'p3', 'p5', 'p9']);
  });

  it('starts delayed work when its time has come, and not before', async () => {
    let startedAt = 0;
    const engine = await start((new_) => new_.register('work', async () => void (startedAt = Date.now())));
    const enqueuedAt = Date.now();

    await enqueue(engine, 'task-1', { delayMs: 1500 });
    expect(await engine.status('task-1')).toBe('delayed');
    await ends(engine, 'task-1', 'succeeded');

    expect(startedAt - enqueuedAt).toBeGreaterThanOrEqual(1500);
    expect(startedAt - enqueuedAt).toBeLessThan(10_000);
  });

  it('runs a schedule at its ticks, and forgets one that is no longer named', async () => {
    const ticks: Date[] = [];
    const engine = await start((new_) =>
      new_.schedule('tick', '* * * * * *', async (scheduledAt) => void ticks.push(scheduledAt)),
    );
    await until('two ticks', () => ticks.length >= 2);
    await engine.stop();

    await start(() => undefined);

    expect(ticks.map((tick) => tick.getMilliseconds())).toEqual(ticks.map(() => 0));
    expect((await test.database.pool.query('select from dbos.workflow_schedules')).rowCount).toBe(0);
  });
});

describe('engine: steps', () => {
  it('hands a step’s result on', async () => {
    const results: unknown[] = [];
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        for (const value of [1, 'two', null, undefined, { three: [3] }])
          results.push(await context.step('same name', async () => value));
      }),
    );

    await enqueue(engine, 'task-1');
    await ends(engine, 'task-1', 'succeeded');

    expect(results).toEqual([1, 'two', null, undefined, { three: [3] }]);
  });

  it('fails the workflow whose step throws, once, and says so in the log', async () => {
    const lines: string[] = [];
    const log = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } });
    let runs = 0;
    const fails = async (context: DurableContext) =>
      context.step('breaks', async () => {
        runs += 1;
        throw new Error('no such file');
      });
    const engine = await start((new_) => new_.register('work', fails), { log });

    await enqueue(engine, 'task-1');
    await ends(engine, 'task-1', 'failed');

    expect(runs).toBe(1);
    expect(lines.map((line) => JSON.parse(line) as Record<string, unknown>)).toEqual([
      expect.objectContaining({ level: 'error', msg: 'workflow failed', workflow: 'work', workflowId: 'task-1' }),
    ]);
  });

  it('lets a function go on after an error it expected', async () => {
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        await context.step('breaks', () => Promise.reject(new Error('expected'))).catch(() => undefined);
        await context.step('goes on', async () => undefined);
      }),
    );

    await enqueue(engine, 'task-1');

    await ends(engine, 'task-1', 'succeeded');
  });

  it('tries a step again when the database went away under it', async () => {
    let runs = 0;
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        await context.step('loses its connection once', async () => {
          runs += 1;
          if (runs === 1) await test.database.pool.query('select pg_terminate_backend(pg_backend_pid())');
        });
      }),
    );

    await enqueue(engine, 'task-1');
    await ends(engine, 'task-1', 'succeeded');

    expect(runs).toBe(2);
  });

  it('refuses two calls at once, because a replay could swap their answers', async () => {
    const refusals: unknown[] = [];
    let finishSlow: (() => void) | undefined;
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        const slow = context.step('slow', () => new Promise<void>((resolve) => (finishSlow = resolve)));
        await context.step('beside it', async () => undefined).catch((error: unknown) => refusals.push(error));
        const finish = await until('the slow step to begin', () => finishSlow);
        finish();
        await slow;
      }),
    );

    await enqueue(engine, 'task-1');
    await ends(engine, 'task-1', 'succeeded');

    expect(refusals).toEqual([expect.objectContaining({ kind: 'internal', code: 'engine_parallel_call' })]);
  });
});

describe('engine: signals', () => {
  it('keeps a signal that came before anybody waited', async () => {
    const { engine, received } = await startWaiting();
    await enqueue(engine, 'task-1', { delayMs: 500 });

    await engine.signal('task-1', 'go', { answer: 42 }, 'key-1');
    await ends(engine, 'task-1', 'succeeded');

    expect(received).toEqual([{ id: 'task-1', message: { answer: 42 } }]);
  });

  it('delivers one signal per key, in the order they came', async () => {
    const messages: unknown[] = [];
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        for (let i = 0; i < 3; i += 1) messages.push(await context.receive('go', i < 2 ? 60_000 : 200));
      }),
    );
    await enqueue(engine, 'task-1');

    for (const key of ['a', 'a', 'b', 'a', 'b']) {
      await engine.signal('task-1', 'go', key, key);
      await nextMillisecond();
    }
    await ends(engine, 'task-1', 'succeeded');

    expect(messages).toEqual(['a', 'b', null]);
  });

  it('keeps topics apart', async () => {
    const { engine, received } = await startWaiting();
    await enqueue(engine, 'task-1');
    await waiting(1);

    await engine.signal('task-1', 'stop', 'not this', 'key-1');
    await engine.signal('task-1', 'go', 'this', 'key-2');
    await ends(engine, 'task-1', 'succeeded');

    expect(received).toEqual([{ id: 'task-1', message: 'this' }]);
  });

  it('signals from one workflow to another, and to nobody without harm', async () => {
    const messages: unknown[] = [];
    const engine = await start((new_) => {
      new_.register('work', async (context) => void messages.push(await context.receive('go', 60_000)));
      new_.register('sender', async (context) => {
        await context.signal('nobody', 'go', 'lost');
        await context.signal('task-1', 'go', { from: context.workflowId });
      });
    });
    await enqueue(engine, 'task-1');
    await enqueue(engine, 'task-2', { workflow: 'sender' });

    await ends(engine, 'task-1', 'succeeded');
    await ends(engine, 'task-2', 'succeeded');
    await engine.signal('nobody', 'go', 'lost', 'key-1');

    expect(messages).toEqual([{ from: 'task-2' }]);
  });

  it('wakes a waiting workflow at once', async () => {
    const { engine, received } = await startWaiting();
    await enqueue(engine, 'task-1');
    await waiting(1);

    const sentAt = Date.now();
    await engine.signal('task-1', 'go', 1, 'key-1');
    await until('the message', () => received.length === 1);

    expect(Date.now() - sentAt).toBeLessThan(5000);
  });
});

describe('engine: cancel', () => {
  it('ends queued work before it starts', async () => {
    const { engine, received } = await startWaiting();
    await enqueue(engine, 'task-1', { delayMs: 200 });

    await engine.cancel('task-1');
    await engine.cancel('task-1');

    expect(await engine.status('task-1')).toBe('canceled');
    await enqueue(engine, 'task-2', { delayMs: 400 });
    await engine.signal('task-2', 'go', 1, 'key-1');
    await ends(engine, 'task-2', 'succeeded');
    expect(received.map(({ id }) => id)).toEqual(['task-2']);
  });

  it('ends waiting work, which then neither goes on nor can catch it', async () => {
    const seen: string[] = [];
    const engine = await start((new_) =>
      new_.register('work', async (context) => {
        try {
          await context.receive('go', 60_000);
          seen.push('went on');
        } catch {
          seen.push('caught');
        }
      }),
    );
    await enqueue(engine, 'task-1');
    await waiting(1);

    await engine.cancel('task-1');
    expect(await engine.status('task-1')).toBe('canceled');
    await engine.signal('task-1', 'go', 1, 'key-1');
    await enqueue(engine, 'task-2');
    await engine.signal('task-2', 'go', 1, 'key-2');
    await ends(engine, 'task-2', 'succeeded');

    expect(seen).toEqual(['went on']);
    expect(await engine.status('task-1')).toBe('canceled');
  });

  it('leaves ended and unknown work as it is', async () => {
    const engine = await start((new_) => new_.register('work', async () => undefined));
    await enqueue(engine, 'task-1');
    await ends(engine, 'task-1', 'succeeded');

    await engine.cancel('task-1');
    await engine.cancel('nobody');

    expect(await engine.status('task-1')).toBe('succeeded');
    expect(await engine.status('nobody')).toBeNull();
  });
});

describe('engine: stop and start again', () => {
  it('runs what it took from the queue but lost before it began', async () => {
    const engine = await start((new_) => new_.register('work', async () => undefined), {
      executorId: 'me',
      deadAfterMs: 300,
    });
    await test.database.transaction(async (tx) => {
      await engine.enqueue(tx, { workflow: 'work', id: 'task-1', input: {} });
      await tx.client.query(
        `update dbos.workflow_status set status = 'PENDING', executor_id = 'me', owner_xid = 'lost', recovery_attempts = 1,
           started_at_epoch_ms = extract(epoch from now()) * 1000 where workflow_uuid = 'task-1'`,
      );
    });

    await ends(engine, 'task-1', 'succeeded');
  });

  it('leaves what it runs alone, however long it waits', async () => {
    const { engine, received } = await startWaiting({ deadAfterMs: 100 });
    await enqueue(engine, 'task-1');
    await waiting(1);
    const taken = await test.database.pool.query('select owner_xid from dbos.workflow_status');
    const since = Date.now();
    await until('several sweeps to pass', () => Date.now() - since > 500);

    expect((await test.database.pool.query('select owner_xid from dbos.workflow_status')).rows).toEqual(taken.rows);
    await engine.signal('task-1', 'go', 1, 'key-1');
    await ends(engine, 'task-1', 'succeeded');
    expect(received).toHaveLength(1);
  });

  it('stops within seconds while 200 workflows wait, and all of them finish after the next start', async () => {
    const first = await startWaiting();
    const ids = Array.from({ length: 200 }, (_, index) => `task-${index}`);
    await test.database.transaction(async (tx) => {
      for (const id of ids) await first.engine.enqueue(tx, { workflow: 'work', id, input: {} });
    });
    await waiting(200);

    const stoppingAt = Date.now();
    await first.engine.stop();
    expect(Date.now() - stoppingAt).toBeLessThan(3000);

    const second = await startWaiting();
    for (const id of ids) await second.engine.signal(id, 'go', id, id);
    await until('all to finish', () => second.received.length === 200);
    expect(first.received).toEqual([]);
    expect(second.received.map(({ message }) => message).sort()).toEqual([...ids].sort());
  });

  it('lets an open step finish before it stops, and starts none after', async () => {
    let finishFirst: () => void = () => undefined;
    const steps: string[] = [];
    const work = async (context: DurableContext) => {
      await context.step('first', async () => {
        steps.push('first begun');
        await new Promise<void>((resolve) => (finishFirst = resolve));
        steps.push('first done');
      });
      await context.step('second', async () => void steps.push('second'));
    };
    const first = await start((new_) => new_.register('work', work));
    await enqueue(first, 'task-1');
    await until('the step to begin', () => steps.length === 1);

    const stopped = first.stop();
    finishFirst();
    await stopped;
    expect(steps).toEqual(['first begun', 'first done']);

    const second = await start((new_) => new_.register('work', work));
    await ends(second, 'task-1', 'succeeded');
    expect(steps).toEqual(['first begun', 'first done', 'second']);
  });

  it('does not wait for ever for a step that hangs', async () => {
    const engine = await start(
      (new_) => new_.register('work', (context) => context.step('hangs', () => new Promise(() => undefined))),
      {
        drainMs: 200,
      },
    );
    await enqueue(engine, 'task-1');
    await until('the step to be open', async () => (await engine.status('task-1')) === 'running');

    await engine.stop();

    expect(await engine.status('task-1')).toBe('running');
  });

  it('refuses functions named too late, and a second engine in one process', async () => {
    const engine = await start(() => undefined);
    const other = createEngine({
      database: test.database,
      executorId: 'other',
      log: silentLogger,
      singleProcess: false,
    });

    expect(() => engine.register('late', async () => undefined)).toThrow('named before');
    await expect(other.start()).rejects.toThrow('DBOS is one per process');
  });
});
