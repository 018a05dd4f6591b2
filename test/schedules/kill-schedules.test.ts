import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nextRuns } from '../../service/schedules/cron.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';
import { writeSchedule } from '../../service/schedules/change-schedule.ts';
import { fireDue } from '../../service/schedules/fire.ts';
import { cadenceOf } from '../../service/schedules/schedule.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { callerIn, cronTaskOf, makeScheduleParts, newRoomIds } from '../support/schedules-room.ts';
import type { ScheduleProcessOptions } from '../support/schedules-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(root, 'node_modules/.cache-schedules-'));
const bundle = join(folder, 'schedules-process.mjs');
const kills = Number(process.env['SCHEDULE_KILLS'] ?? 12);
/** Ten minutes a second: a run of the schedule every half second. */
const speed = 600;
const ids = newRoomIds();

let data: TestDatabase;
beforeAll(async () => {
  data = await createTestDatabase();
  await data.database.pool.query('create table outrigger.effect (id text not null)');
  const esbuild = `${root}node_modules/esbuild/bin/esbuild`;
  const flags = ['--bundle', '--packages=external', '--platform=node', '--format=esm', `--outfile=${bundle}`];
  await promisify(execFile)(esbuild, ['test/support/schedules-process.ts', ...flags], { cwd: root });
});
afterAll(async () => {
  await data.drop();
  rmSync(folder, { recursive: true, force: true });
});

const steps = [{ id: 'one', agent: 'opencode', task: 'generate_code', params: { prompt: 'Add a test.' } }];

describe('D8 a process that fires schedules is killed (SIGKILL)', () => {
  it(`inside the transaction of a run and at ${kills} random moments, beside a second one: no run is lost, none doubled`, async () => {
    const startedAtMs = Date.now();
    const epochMs = Date.parse('2026-10-24T12:00:00Z');
    const clock = { now: () => new Date(epochMs + (Date.now() - startedAtMs) * speed) };
    const parts = makeScheduleParts({
      database: data.database,
      clock,
      ids,
      enqueue: async (tx, { id }) =>
        void (await tx.client.query('insert into outrigger.effect (id) values ($1)', [id])),
    });
    const spec = {
      schedule: '*/5 * * * *',
      timeZone: 'Europe/Berlin',
      concurrencyPolicy: 'Allow',
      missedRunPolicy: 'all',
      maxRetainedTasks: 1_000,
      taskTemplate: undefined,
      workflow: { name: 'x', workspace_id: 'ws-123', steps },
    };
    const task = readCronTask(cronTaskOf('often', spec));
    const { schedule } = await writeSchedule(parts, { caller: callerIn(ids), requestId: 'test' }, task);

    const live = async (lifeMs: number | 'until it dies'): Promise<void> => {
      const options: ScheduleProcessOptions = {
        ...{ url: data.url, ids, epochMs, startedAtMs, speed },
        dieInTransaction: lifeMs === 'until it dies',
      };
      const child = fork(bundle, [JSON.stringify(options)], {
        execArgv: [],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const gone = once(child, 'close');
      await Promise.race([once(child, 'message'), gone]);
      if (lifeMs !== 'until it dies') {
        await sleep(lifeMs);
        child.kill('SIGKILL');
      }
      await gone;
    };
    await live('until it dies');
    const { rows: nothing } = await data.database.pool.query('select 1 from outrigger.effect');
    expect(nothing).toEqual([]);
    const lives = async (): Promise<void> => {
      for (let kill = 1; kill <= kills / 2; kill += 1) await live(100 + Math.random() * 900);
    };
    await Promise.all([lives(), lives()]);
    while ((await fireDue(parts)) > 0);

    const { rows } = await data.database.pool.query<{ scheduled_at: Date; workflow_id: string }>(
      `select scheduled_at, workflow_id from schedule_run where verdict = 'started' order by scheduled_at`,
    );
    const due = nextRuns(cadenceOf(schedule), new Date(epochMs), rows.length);
    expect(rows.map((run) => run.scheduled_at)).toEqual(due);
    expect(rows.length).toBeGreaterThan(kills / 2);
    const workflows = rows.map((run) => run.workflow_id).toSorted();
    const list = async (query: string): Promise<unknown[]> =>
      (await data.database.pool.query<{ id: string }>(query)).rows.map(({ id }) => id);
    expect(await list('select id from workflow order by id')).toEqual(workflows);
    expect(await list(`select replace(id, 'workflow:', '') as id from outrigger.effect order by id`)).toEqual(
      workflows,
    );
    expect(
      await list(`select data->>'workflow_id' as id from audit_event where action = 'schedule.run_started' order by 1`),
    ).toEqual(workflows);
  });
});
