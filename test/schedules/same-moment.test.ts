import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { triggerSchedule, writeSchedule } from '../../service/schedules/change-schedule.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { callerIn, cronTaskOf, makeScheduleParts, newRoomIds } from '../support/schedules-room.ts';

let data: TestDatabase;
beforeAll(async () => {
  data = await createTestDatabase();
});
afterAll(() => data.drop());

describe('two triggers in one millisecond', () => {
  it('start one task, which is in the history; the other is a conflict', async () => {
    const ids = newRoomIds();
    const clock = { now: () => new Date('2026-03-01T12:00:00Z') };
    const parts = makeScheduleParts({ database: data.database, clock, ids });
    const change = { caller: callerIn(ids), requestId: 'test' };
    const spec = { schedule: '0 0 * * *', concurrencyPolicy: 'Allow' };
    await writeSchedule(parts, change, readCronTask(cronTaskOf('twice', spec)));
    const trigger = (): Promise<unknown> => triggerSchedule(parts, change, 'twice', (_tx, start) => start());

    await trigger();
    await expect(trigger()).rejects.toMatchObject({ kind: 'conflict', code: 'run_exists' });

    const { rows } = await data.database.pool.query('select id from task');
    expect(rows).toHaveLength(1);
  });
});
