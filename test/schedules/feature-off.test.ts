import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { featureOff } from '../../service/platform/flags.ts';
import { writeSchedule } from '../../service/schedules/change-schedule.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';
import { fireDue, readyToStart, type Feature } from '../../service/schedules/fire.ts';
import type { HookParts } from '../../service/schedules/receive-hook.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { callerIn, cronTaskOf, makeScheduleParts, newRoomIds } from '../support/schedules-room.ts';

const ids = newRoomIds();
const change = { caller: callerIn(ids), requestId: 'test' };
let now = Date.parse('2026-03-01T12:30:00Z');
const off = new Set<Feature>();
let data: TestDatabase;
let parts: HookParts;
beforeAll(async () => {
  data = await createTestDatabase();
  const clock = { now: () => new Date(now) };
  const mustBeOn = (feature: Feature, organizationId: string): void => {
    if (off.has(feature) && organizationId === ids.organizationId) throw featureOff(feature);
  };
  parts = { ...makeScheduleParts({ database: data.database, clock, ids }), mustBeOn };
});
afterAll(() => data.drop());

const row = async () =>
  (
    await data.database.pool.query<{ refusals: number; suspended_at: Date | null; runs: string[] | null }>(
      `select refusals, suspended_at,
              (select array_agg(verdict) from schedule_run where schedule_id = schedule.id) as runs from schedule`,
    )
  ).rows[0];

describe('what is turned off (part of S-118)', () => {
  it('lets a schedule wait without a refusal, however long, and run when it is on again', async () => {
    await writeSchedule(parts, change, readCronTask(cronTaskOf('patient', { schedule: '0 * * * *' })));
    off.add('schedules');
    for (let hour = 1; hour <= 7; hour += 1) {
      now += 3_600_000;
      await fireDue(parts);
    }
    expect(await row()).toEqual({ refusals: 0, suspended_at: null, runs: null });

    off.clear();
    now += 15_000;
    await fireDue(parts);
    expect((await row())?.runs?.filter((verdict) => verdict === 'started')).toHaveLength(1);
    expect((await row())?.runs).not.toContain('refused');
  });

  it.each(['webhooks', 'definitions'] as const)('is no refusal that would be remembered: %s', async (feature) => {
    off.add(feature);
    const given = {
      ownerId: ids.ownerId,
      organizationId: ids.organizationId,
      updatedAt: new Date(now),
      work: { kind: 'definition', body: { name: 'any', workspace_id: ids.workspaceId } } as const,
    };
    await expect(readyToStart(parts, 'webhooks', given, 'test')).rejects.toMatchObject({ code: 'feature_off' });
    off.clear();
    expect(await readyToStart(parts, 'webhooks', given, 'test')).toMatchObject({ refusal: { reason: 'ContextError' } });
  });
});
