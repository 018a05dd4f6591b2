import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { goodEvidence } from '../support/fake-bridge.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
beforeEach(async () => {
  room = await makeTasksRoom();
});
afterEach(async () => {
  await room.close();
});

const minutes = (count: number): number => count * 60_000;
const commands = async (): Promise<{ type: string; payload: Record<string, unknown> }[]> =>
  (
    await room.data.database.pool.query<{ type: string; payload: Record<string, unknown> }>(
      'select type, payload from bridge_frame order by id',
    )
  ).rows;

describe('an attempt prepares its workspace', () => {
  it('waits while the workspace starts, then offers itself to the bridge', async () => {
    const id = await room.submit();
    await room.admission.admitNow();
    room.workspaceIs = 'starting';

    expect(await room.turn(id, 1)).toEqual({ done: false, waitMs: 2_000 });
    expect((await room.task(id)).reason).toBe('AgentServerNotReady');
    expect(await room.handlers.claim(room.bridge, { slots: 1, holding: [] })).toBeNull();
    room.workspaceIs = 'running';
    expect(await room.turn(id, 1)).toMatchObject({ done: false });
    expect(await room.handlers.claim(room.bridge, { slots: 0, holding: [] })).toBeNull();
    expect(await room.handlers.claim(room.bridge, { slots: 1, holding: [] })).toMatchObject({
      task_id: id,
      attempt: 1,
    });
  });

  it('fails with the reason when the workspace may not be started', async () => {
    const id = await room.submit();
    await room.admission.admitNow();
    room.workspaceIs = { refused: 'Start it in Coder.' };

    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({
      outcome: 'failed',
      reason: 'WorkspaceStopped',
      message: 'Start it in Coder.',
    });
  });

  it('tries again when no bridge comes in ten minutes', async () => {
    const id = await room.submit({ retry: { max: 2, backoff_seconds: 10 } });
    await room.admission.admitNow();
    await room.turn(id, 1);
    room.clock.advance(minutes(10));

    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ state: 'queued', reason: 'BridgeLost', attempt: 1 });
  });
});

describe('an attempt never hangs', () => {
  it('gives up on its workspace at its deadline, also when Coder cannot be asked', async () => {
    const id = await room.submit({ retry: { max: 2, backoff_seconds: 0 } });
    await room.admission.admitNow();
    room.workspaceIs = 'unreachable';

    expect(await room.turn(id, 1)).toEqual({ done: false, waitMs: 2_000 });
    room.clock.advance(minutes(10));
    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ state: 'queued', reason: 'WorkspaceStopped' });
  });

  it('gives bridges a lease’s time to come back after a start, before it calls them lost', async () => {
    const lease = await room.leased();
    room.clock.advance(minutes(3));
    room.startedAgain();

    expect(await room.turn(lease.task_id, 1)).toMatchObject({ done: false });
    await room.handlers.heartbeat(room.bridge, [lease]);
    room.clock.advance(44_000);
    expect(await room.turn(lease.task_id, 1)).toMatchObject({ done: false });
    room.clock.advance(2_000);
    expect(await room.turn(lease.task_id, 1)).toMatchObject({ done: true });
  });

  it('takes text that Postgres does not: null characters, their escape, and halves of an emoji', async () => {
    const lease = await room.leased();
    const nasty = 'a\u0000b \\u0000 \ud83d end';
    const at = new Date().toISOString();

    await room.handlers.event(room.bridge, {
      ...lease,
      source_seq: 1,
      type: 'message.text',
      at,
      data: { [nasty]: nasty },
    });
    await room.handlers.ask(room.bridge, {
      ...lease,
      ask_id: 'x',
      kind: 'permission',
      title: nasty,
      detail: { nasty },
    });
    const evidence = goodEvidence({ last_message: { finish: 'stop', error: null, text: nasty } });
    await room.handlers.result(room.bridge, { ...lease, evidence });
    await room.turn(lease.task_id, 1);

    expect((await room.task(lease.task_id)).evidence?.last_message?.text).toBe('a\ufffdb \\u0000 \ufffd end');
  });
});

describe('S-21 an older registration may do nothing any more', () => {
  it('refuses its events, results, asks and claims, and lets the newer one work', async () => {
    const lease = await room.leased();
    await room.registerAgain();
    const at = new Date().toISOString();

    await expect(
      room.handlers.event(room.bridge, { ...lease, source_seq: 1, type: 'message.text', at, data: {} }),
    ).rejects.toThrow(/no longer/);
    await expect(room.handlers.result(room.bridge, { ...lease, evidence: goodEvidence() })).rejects.toThrow(
      /no longer/,
    );
    await expect(room.handlers.claim(room.bridge, { slots: 1, holding: [] })).rejects.toThrow(/no longer/);
    await expect(
      room.handlers.ask(room.bridge, { ...lease, ask_id: 'x', kind: 'permission', title: 'x', detail: {} }),
    ).rejects.toThrow(/no longer/);
    expect((await room.task(lease.task_id)).state).toBe('starting');
    const newer = { ...room.bridge, generation: 2 };
    await room.handlers.heartbeat(newer, [lease]);
    expect(await room.handlers.result(newer, { ...lease, evidence: goodEvidence() })).toEqual({ accepted: true });
  });

  it('refuses a bridge whose token has ended', async () => {
    await room.submit();
    await room.admission.admitNow();
    room.clock.advance(8 * 86_400_000);

    await expect(room.handlers.claim(room.bridge, { slots: 1, holding: [] })).rejects.toThrow(/no longer/);
  });
});

describe('a lost bridge (part of D8, S-44)', () => {
  it('fails the attempt as retryable when its lease ends, and never before', async () => {
    const { task_id: id } = await room.leased({ retry: { max: 3, backoff_seconds: 10 } });
    room.clock.advance(40_000);
    await room.handlers.heartbeat(room.bridge, [{ task_id: id, attempt: 1 }]);
    room.clock.advance(40_000);

    expect(await room.turn(id, 1)).toMatchObject({ done: false });
    room.clock.advance(5_001);
    expect(await room.turn(id, 1)).toMatchObject({ done: true });
    expect(await room.task(id)).toMatchObject({ state: 'queued', reason: 'BridgeLost' });
    expect(await room.turn(id, 1)).toEqual({ done: true, wakes: [] });
  });

  it('waits four times longer before each next attempt and ends after the last', async () => {
    const { task_id: id } = await room.leased({ retry: { max: 3, backoff_seconds: 10 } });
    const delays: number[] = [];
    for (const attempt of [1, 2, 3]) {
      if (attempt > 1) {
        room.clock.advance(1_000 * 1_000);
        await room.admission.admitNow();
        await room.turn(id, attempt);
        await room.handlers.claim(room.bridge, { slots: 1, holding: [] });
      }
      room.clock.advance(45_001);
      const before = room.clock.now().getTime();
      await room.turn(id, attempt);
      delays.push(Math.round(((await room.task(id)).runAt.getTime() - before) / 1_000));
    }

    expect(delays.slice(0, 2)).toEqual([10, 40]);
    expect(await room.task(id)).toMatchObject({
      state: 'finished',
      outcome: 'failed',
      reason: 'BridgeLost',
      attempt: 3,
    });
  });

  it('is not admitted again before its time', async () => {
    const { task_id: id } = await room.leased({ retry: { max: 3, backoff_seconds: 60 } });
    room.clock.advance(45_001);
    await room.turn(id, 1);

    expect(await room.admission.admitNow()).toBe(0);
    room.clock.advance(60_001);
    expect(await room.admission.admitNow()).toBe(1);
    expect(room.enqueued.map((one) => one.id)).toEqual([`${id}:1`, `${id}:2`]);
  });

  it('offers the same attempt again, with a new token, to a bridge that never received it', async () => {
    const first = await room.leased();

    const again = await room.handlers.claim(room.bridge, { slots: 1, holding: [] });

    expect(again).toMatchObject({ task_id: first.task_id, attempt: 1, message_id: first.message_id });
    expect(again?.task_token).not.toBe(first.task_token);
  });
});

describe('the time limit of a task (part of P-112)', () => {
  it('stops the task when its active time is used up, without counting the time it waited for a person', async () => {
    const lease = await room.leased({ timeout_seconds: 120 });
    await room.handlers.event(room.bridge, {
      ...lease,
      source_seq: 1,
      type: 'prompt.sent',
      at: new Date().toISOString(),
      data: {},
    });
    await room.handlers.ask(room.bridge, { ...lease, ask_id: 'per_1', kind: 'permission', title: 'x', detail: {} });
    const pass = async (milliseconds: number) => {
      room.clock.advance(milliseconds);
      await room.handlers.heartbeat(room.bridge, [lease]);
      return room.turn(lease.task_id, 1);
    };
    await pass(minutes(5));
    expect((await room.task(lease.task_id)).state).toBe('waiting');
    await room.decide(lease.task_id, 'reject');
    expect((await room.task(lease.task_id)).state).toBe('running');

    await pass(119_000);
    expect((await room.task(lease.task_id)).state).toBe('running');
    await pass(1_001);
    expect(await room.task(lease.task_id)).toMatchObject({ state: 'stopping', stopReason: 'Timeout' });
    expect((await commands()).at(-1)).toMatchObject({ type: 'stop', payload: { reason: 'Timeout' } });

    const stop = {
      stopped_at: '2026-01-01T00:00:00Z',
      method: 'abort' as const,
      processes_left: 0,
      tokens_after_stop: 0,
    };
    await room.handlers.result(room.bridge, { ...lease, evidence: goodEvidence({ stop }) });
    await room.turn(lease.task_id, 1);
    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'timed_out', reason: 'Timeout' });
  });

  it('calls a stop unproven when the bridge does not answer it', async () => {
    const lease = await room.leased({ timeout_seconds: 10 });
    const beat = () => room.handlers.heartbeat(room.bridge, [lease]);
    room.clock.advance(10_001);
    await beat();
    await room.turn(lease.task_id, 1);
    room.clock.advance(30_001);
    await beat();

    expect(await room.turn(lease.task_id, 1)).toMatchObject({ done: true });
    expect(await room.task(lease.task_id)).toMatchObject({ outcome: 'failed', reason: 'StopUnproven' });
  });
});

describe('S-92 admission', () => {
  it('starts the highest priority first, one a workspace, and writes why the others wait', async () => {
    const low = await room.submit({ priority: 0 });
    const high = await room.submit({ priority: 5 });
    const elsewhere = await room.submit({}, randomUUID());

    expect(await room.admission.admitNow()).toBe(2);
    expect((await room.task(high)).state).toBe('starting');
    expect((await room.task(elsewhere)).state).toBe('starting');
    expect(await room.task(low)).toMatchObject({ state: 'queued', reason: 'AgentAtCapacity' });
  });

  it('lets a task that waited long overtake a younger one of higher priority', async () => {
    const old = await room.submit({ priority: 0 });
    room.clock.advance(minutes(6));
    const young = await room.submit({ priority: 5 });

    await room.admission.admitNow();

    expect((await room.task(old)).state).toBe('starting');
    expect((await room.task(young)).state).toBe('queued');
  });

  it('is first in, first out within a priority', async () => {
    const first = await room.submit();
    await room.submit();
    await room.admission.admitNow();

    expect((await room.task(first)).state).toBe('starting');
  });

  it('serves an idle workspace although another one has a thousand tasks waiting', async () => {
    await room.data.database.pool.query('select 1');
    for (let number = 0; number < 40; number += 1) await room.submit({ priority: 50 });
    await room.data.database.pool.query(
      `insert into task select (jsonb_populate_record(task, jsonb_build_object('id', gen_random_uuid()))).*
         from task cross join generate_series(1, 25)`,
    );
    const elsewhere = await room.submit({}, randomUUID());

    expect(await room.admission.admitNow()).toBe(2);
    expect((await room.task(elsewhere)).state).toBe('starting');
  });

  it('never starts more than a workspace may hold, however many ask at once', async () => {
    await Promise.all(Array.from({ length: 12 }, () => room.submit()));

    await Promise.all(Array.from({ length: 6 }, () => room.admission.admitNow()));

    expect(room.enqueued).toHaveLength(1);
  });
});
