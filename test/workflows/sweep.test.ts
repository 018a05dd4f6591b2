import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { placesOfCaller } from '../../service/schedules/owner-places.ts';
import { checkWorkflowIn, startWorkflow, workflowBody } from '../../service/workflows/submit-workflow.ts';
import { sweepLostWorkflows } from '../../service/workflows/sweep.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { callerIn, makeScheduleParts, newRoomIds } from '../support/schedules-room.ts';
import { step } from '../support/workflows-room.ts';

let data: TestDatabase;
beforeAll(async () => {
  data = await createTestDatabase();
});
afterAll(() => data.drop());

describe('workflows that lost their loop', () => {
  it('each get a turn, also behind one whose turn fails', async () => {
    const ids = newRoomIds();
    let now = Date.parse('2026-03-01T12:00:00Z');
    const parts = makeScheduleParts({ database: data.database, clock: { now: () => new Date(now) }, ids });
    const owner = { id: ids.ownerId, name: 'ada', commitIdentity: { name: 'Ada', email: '' } };
    const body = workflowBody.parse({ name: 'w', workspace_id: 'ws-123', steps: [step('a')] });
    const checked = await checkWorkflowIn(parts, placesOfCaller(parts, callerIn(ids), 'test'), body);
    for (let number = 1; number <= 3; number += 1)
      await data.database.transaction((tx) => startWorkflow(tx, parts, owner, checked, 'test'));
    now += 120_000;
    let turns = 0;
    const admit = (): Promise<void> => {
      turns += 1;
      return turns === 1 ? Promise.reject(new Error('the first turn fails')) : Promise.resolve();
    };

    // In pages of two, so that the last one stands on a page of its own.
    await sweepLostWorkflows({ statuses: () => Promise.resolve(new Map()) }, { ...parts, admit }, 2);

    const { rows } = await data.database.pool.query('select distinct workflow_id from task');
    expect(rows).toHaveLength(3);
  });
});
