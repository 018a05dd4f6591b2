import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { stopTask } from '../../service/tasks/stop-task.ts';
import { eventually } from '../support/clock.ts';
import { makeTasksRoom, type TasksRoom } from '../support/tasks-room.ts';

let room: TasksRoom;
beforeAll(async () => {
  room = await makeTasksRoom();
});
afterAll(() => room.close());

const isBlocked = async (): Promise<boolean> => {
  const { rowCount } = await room.data.database.pool.query(
    `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return (rowCount ?? 0) > 0;
};

it('leaves a task that is stopped while admission waits for its row as its owner left it', async () => {
  await room.submit();
  await room.admission.admitNow();
  const waiting = await room.submit();
  let goOn = (): void => undefined;
  const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
  let isHeld = false;
  const onFinished = async () => {
    isHeld = true;
    await mayGoOn;
    return [];
  };

  const stopping = stopTask({ ...room.stopParts, onFinished }, waiting, room.bridge.ownerId, 'a-request');
  await eventually('the stop to hold the row', () => Promise.resolve(isHeld));
  const admitting = room.admission.admitNow();
  await eventually('admission to wait for the row', isBlocked);
  goOn();
  await Promise.all([stopping, admitting]);

  expect(await room.task(waiting)).toMatchObject({ state: 'finished', outcome: 'canceled', reason: 'UserStopped' });
});
