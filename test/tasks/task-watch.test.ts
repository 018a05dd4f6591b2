import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Database } from '../../service/platform/database.ts';
import { readSnapshot } from '../../service/tasks/task-snapshot.ts';
import { makeTaskWatch, type TaskWatch } from '../../service/tasks/task-watch.ts';
import { eventually } from '../support/clock.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
beforeAll(async () => {
  room = await makeTasksRoom();
});
afterAll(() => room.close());

/** A watch whose queries are counted and whose events come by hand. */
function watched(lookAtMostEveryMs: number) {
  let queries = 0;
  let hear = (_taskId: string): void => undefined;
  const { database } = room.data;
  const counting: Database = {
    ...database,
    as: () => {
      queries += 1;
      return database.as();
    },
  };
  const listener = {
    on: (_channel: string, heard: (taskId: string) => void) => {
      hear = heard;
      return () => undefined;
    },
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
  const watch = makeTaskWatch({ database: counting, listener, lookAtMostEveryMs });
  return { watch, queries: () => queries, hear: (taskId: string) => hear(taskId) };
}

const waitAs = (watch: TaskWatch, taskId: string, one: number, ms: number, known?: string) =>
  watch.wait(taskId, { actorId: `actor-${one}`, known, ms, signal: new AbortController().signal });
const twenty = Array.from({ length: 20 }, (_none, index) => index);
const end = (taskId: string) =>
  room.data.database.pool.query(`update task set state = 'finished', outcome = 'canceled' where id = $1`, [taskId]);

describe('those who wait for a task', () => {
  it.each([
    ['only its state', undefined, 1],
    ['the task and its attempts where somebody says what it was', 'etag', 2],
  ])('share one look, however much happens meanwhile, which reads %s', async (_title, says, reads) => {
    const taskId = await room.submit();
    const { watch, queries, hear } = watched(60_000);
    const known = says && (await readSnapshot(room.data.database, taskId)).etag;
    const waiting = Promise.all(twenty.map((one) => waitAs(watch, taskId, one, 1_000, known)));
    await eventually('the first look', () => Promise.resolve(queries() > 0));
    for (let event = 0; event < 100; event += 1) hear(taskId);
    await waiting;

    expect(queries()).toBe(reads);
  });

  it('hear of its end, and of a change where they say what it was', async () => {
    const taskId = await room.submit();
    const { watch, queries, hear } = watched(10);
    const { etag } = await readSnapshot(room.data.database, taskId);
    let isOver = false;
    const untilOver = waitAs(watch, taskId, 1, 55_000).then(() => (isOver = true));
    const untilChanged = waitAs(watch, taskId, 2, 55_000, etag);
    await eventually('the first look', () => Promise.resolve(queries() > 0));
    await room.data.database.pool.query(`update task set reason = 'QuotaExceeded' where id = $1`, [taskId]);
    hear(taskId);
    await untilChanged;
    expect(isOver).toBe(false);
    await end(taskId);
    hear(taskId);
    await untilOver;
  });

  it('are told when it cannot be read, and may wait again', async () => {
    const { watch } = watched(10);
    const nobodys = '00000000-0000-7000-8000-000000000000';

    for (const one of twenty)
      await expect(waitAs(watch, nobodys, 1, 55_000, `"${one}"`)).rejects.toMatchObject({ kind: 'not_found' });
  });

  it('are let go at the end of the process', async () => {
    const { watch } = watched(10);
    const taskId = await room.submit();
    const waiting = waitAs(watch, taskId, 1, 55_000);
    watch.drain();
    await waiting;
    await waitAs(watch, taskId, 1, 55_000);
  });
});
