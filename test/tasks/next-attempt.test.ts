import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { reasons, taskOutcomes, taskStates } from '../../modules/contract.ts';
import { afterAttempt, fallbackReasons } from '../../service/tasks/next-attempt.ts';
import { listAttempts } from '../../service/tasks/task-store.ts';
import { activeStates, moves, retryDelay } from '../../service/tasks/task.ts';
import { goodEvidence } from '../support/fake-bridge.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

describe('the states of a task and the moves between them', () => {
  it('reach `finished` from every state, and nothing from it', () => {
    expect(moves.finished).toEqual([]);
    for (const state of taskStates) {
      const reached = new Set([state]);
      for (const one of reached) for (const next of moves[one]) reached.add(next);
      expect([...reached]).toContain('finished');
    }
  });

  it('never give a task that is being stopped back to anybody', () => {
    expect(moves.stopping).toEqual(['finished']);
  });

  it('pass admission: no state without a place leads to one that has it, but for queued → starting', () => {
    const isActive = (state: (typeof taskStates)[number]) => activeStates.includes(state);
    const entries = taskStates.flatMap((from) =>
      moves[from].filter((to) => !isActive(from) && isActive(to)).map((to) => `${from} → ${to}`),
    );

    expect(entries).toEqual(['queued → starting']);
  });
});

describe('what follows an attempt', () => {
  const outcome = fc.constantFrom(...taskOutcomes).filter((one) => one !== 'canceled');
  const verdict = fc.record({
    outcome,
    reason: fc.option(fc.constantFrom(...reasons)),
    retryable: fc.boolean(),
  });
  const task = fc.record({
    maxAttempts: fc.integer({ min: 1, max: 10 }),
    retryDelayMs: fc.integer({ min: 0, max: 3_600_000 }),
    fallback: fc.option(fc.constant({ agent: 'other', model: 'other/model' })),
  });

  it('is never another attempt after success, after a stop, or beyond twice the attempts', () => {
    fc.assert(
      fc.property(task, fc.array(verdict, { maxLength: 40 }), fc.boolean(), (given, verdicts, isStopped) => {
        const now = { ...given, attempt: 0, parks: 0, fellBackAfter: null as number | null };
        let hasFallenBack = 0;
        for (const one of verdicts) {
          now.attempt += 1;
          const next = afterAttempt({ ...now, stopReason: isStopped ? 'UserStopped' : null }, one);
          if (next.kind === 'end') {
            if (next.isSpent) expect(one).toMatchObject({ outcome: 'failed', retryable: true });
            return;
          }
          expect([one.outcome, isStopped]).toEqual(['failed', false]);
          if (next.kind === 'fallback') {
            hasFallenBack += 1;
            expect(fallbackReasons).toContain(one.reason);
            now.fellBackAfter = now.attempt;
          } else expect(one.retryable).toBe(true);
        }
        expect(hasFallenBack).toBeLessThanOrEqual(given.fallback ? 1 : 0);
        expect(now.attempt).toBeLessThanOrEqual(given.maxAttempts * (given.fallback ? 2 : 1));
      }),
    );
  });

  it('waits longer each time, four times as long, and never above an hour', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_600_000 }), fc.integer({ min: 1, max: 20 }), (base, attempt) => {
        const [one, next] = [retryDelay(base, attempt), retryDelay(base, attempt + 1)];

        expect(next).toBe(Math.min(one * 4, 3_600_000));
      }),
    );
    expect(retryDelay(10_000, 1)).toBe(10_000);
  });
});

describe('a task with a fallback (part of S-44)', () => {
  let room: TasksRoom;
  beforeEach(async () => {
    room = await makeTasksRoom();
  });
  afterEach(() => room.close());

  const broken = goodEvidence({
    last_message: { finish: null, error: { name: 'APIError', message: 'no', status_code: 500 }, text: '' },
    commit: null,
    diff: { files: 0, additions: 0, deletions: 0 },
  });

  /** Makes one attempt and answers the model that it ran with. */
  async function attempt(evidence = broken) {
    room.clock.advance(3_600_000);
    await room.registerAgain();
    const bridge = { ...room.bridge, generation: (generation += 1) };
    await room.admission.admitNow();
    const { rows } = await room.data.database.pool.query<{ id: string; attempt: number }>(
      'select id, attempt from task',
    );
    const [{ id, attempt: number } = { id: '', attempt: 0 }] = rows;
    await room.turn(id, number);
    const lease = await room.handlers.claim(bridge, { slots: 1, holding: [] });
    if (!lease) throw new Error('nothing to lease');
    await room.handlers.result(bridge, { ...lease, evidence });
    await room.turn(id, number);
    return lease.model;
  }
  let generation: number;
  beforeEach(() => {
    generation = 1;
  });

  it('gives the work to the other model when the first has used up its attempts, and shows every attempt', async () => {
    const id = await room.submit({ retry: { max: 2, backoff_seconds: 1 }, fallback: { model: 'scripted/other' } });

    expect([await attempt(), await attempt(), await attempt()]).toEqual([
      'scripted/test',
      'scripted/test',
      'scripted/other',
    ]);
    expect(await room.task(id)).toMatchObject({ state: 'queued', attempt: 3 });
    expect(await attempt(goodEvidence())).toBe('scripted/other');
    expect(await room.task(id)).toMatchObject({ outcome: 'succeeded', model: 'scripted/other', fellBackAfter: 2 });
    expect(
      (await listAttempts(room.data.database, id)).map(({ number, model, outcome }) => [number, model, outcome]),
    ).toEqual([
      [1, 'scripted/test', 'failed'],
      [2, 'scripted/test', 'failed'],
      [3, 'scripted/other', 'failed'],
      [4, 'scripted/other', 'succeeded'],
    ]);
  });

  it('falls back at once when asking the first model again cannot help, and only once', async () => {
    const refused = { ...broken, last_message: { finish: 'length', error: null, text: '' } };
    const id = await room.submit({ fallback: { model: 'scripted/other' } });

    expect([await attempt(refused), await attempt(refused)]).toEqual(['scripted/test', 'scripted/other']);
    expect(await room.task(id)).toMatchObject({ outcome: 'failed', reason: 'Truncated', attempt: 2 });
  });

  it('makes a dead letter of a task that used up its attempts, and of no other', async () => {
    const letters = async () =>
      (
        await room.data.database.pool.query<{ task_id: string; attempts: number; reason: string }>(
          'select task_id, attempts, reason from dead_letter',
        )
      ).rows;
    const id = await room.submit({ retry: { max: 2, backoff_seconds: 1 } });
    await attempt();
    expect(await letters()).toEqual([]);
    await attempt();

    expect(await room.task(id)).toMatchObject({ state: 'finished', outcome: 'failed' });
    expect(await letters()).toEqual([{ task_id: id, attempts: 2, reason: 'UpstreamError' }]);
  });
});

describe('the time of a task', () => {
  it('counts from running, not from when the bridge took it', async () => {
    const room = await makeTasksRoom();
    try {
      const lease = await room.leased({ timeout_seconds: 60 });
      const beat = () => room.handlers.heartbeat(room.bridge, [lease]);
      room.clock.advance(40_000);
      await beat();
      const at = room.clock.now().toISOString();
      await room.handlers.event(room.bridge, { ...lease, source_seq: 1, type: 'prompt.sent', at, data: {} });
      room.clock.advance(40_000);
      await beat();
      await room.turn(lease.task_id, 1);
      expect((await room.task(lease.task_id)).state).toBe('running');
      room.clock.advance(21_000);
      await beat();
      await room.turn(lease.task_id, 1);

      expect(await room.task(lease.task_id)).toMatchObject({ state: 'stopping', stopReason: 'Timeout' });
    } finally {
      await room.close();
    }
  });
});
