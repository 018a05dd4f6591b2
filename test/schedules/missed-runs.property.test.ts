import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { MissedRunPolicy } from '../../service/schedules/due.ts';
import {
  removeSchedule,
  resumeSchedule,
  suspendSchedule,
  writeSchedule,
} from '../../service/schedules/change-schedule.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';
import { fireDue } from '../../service/schedules/fire.ts';
import type { HookParts } from '../../service/schedules/receive-hook.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { callerIn, cronTaskOf, makeScheduleParts, newRoomIds } from '../support/schedules-room.ts';

const minuteMs = 60_000;
const everyMs = 10 * minuteMs;
const begin = Date.parse('2026-03-28T20:00:30Z');
const ids = newRoomIds();
const change = { caller: callerIn(ids), requestId: 'test' };
/** One clock for two services on one database. */
let now = begin;
let data: TestDatabase;
let services: readonly HookParts[];
beforeAll(async () => {
  data = await createTestDatabase();
  const clock = { now: () => new Date(now) };
  services = [1, 2].map(() => makeScheduleParts({ database: data.database, clock, ids }));
});
afterAll(() => data.drop());

const one = (): HookParts => services[0] as HookParts;
const fireOnBoth = (): Promise<unknown> => Promise.all(services.map(fireDue));

interface Rules {
  readonly policy: MissedRunPolicy;
  readonly deadlineMs: number | null;
}

const write = async (name: string, { policy, deadlineMs }: Rules): Promise<void> => {
  const spec = {
    schedule: '*/10 * * * *',
    concurrencyPolicy: 'Allow',
    missedRunPolicy: policy,
    maxRetainedTasks: 1_000,
    ...(deadlineMs === null ? {} : { startingDeadlineSeconds: deadlineMs / 1_000 }),
  };
  await writeSchedule(one(), change, readCronTask(cronTaskOf(name, spec)));
};

interface Outcome {
  readonly started: readonly number[];
  readonly skipped: readonly number[];
}

async function outcomeOf(name: string): Promise<Outcome> {
  const { rows } = await data.database.pool.query<{ scheduled_at: Date; verdict: string; task_id: string | null }>(
    `select scheduled_at, verdict, task_id from schedule_run
       join schedule on schedule.id = schedule_id where schedule.name = $1 order by scheduled_at`,
    [name],
  );
  const { rows: tasks } = await data.database.pool.query<{ id: string }>(
    `select id from task where title like '%/' || $1 || '-%'`,
    [name],
  );
  const started = rows.filter(({ verdict }) => verdict === 'started');
  expect(tasks.map(({ id }) => id).toSorted()).toEqual(started.map((run) => run.task_id ?? '').toSorted());
  return {
    started: started.map((run) => run.scheduled_at.getTime()),
    skipped: rows.filter(({ verdict }) => verdict === 'skipped').map((run) => run.scheduled_at.getTime()),
  };
}

/** The rules in a few lines: what is due since the last look, and what of it may start. */
function makeModel({ policy, deadlineMs }: Rules) {
  const mayStart = (at: number, isNewest: boolean): boolean => {
    if (deadlineMs !== null && now - at > deadlineMs) return false;
    return policy === 'all' || (isNewest && (policy === 'once' || now - at <= minuteMs));
  };
  const model = {
    started: [] as number[],
    skipped: [] as number[],
    isSuspended: false,
    next: after(begin),
    look(): void {
      if (model.isSuspended || model.next > now) return;
      const due: number[] = [];
      for (let at = model.next; at <= now; at += everyMs) due.push(at);
      model.next = after(due.at(-1) ?? now);
      for (const at of due.slice(-100)) (mayStart(at, at === due.at(-1)) ? model.started : model.skipped).push(at);
    },
  };
  return model;
}
type Model = ReturnType<typeof makeModel>;
const after = (at: number): number => (Math.floor(at / everyMs) + 1) * everyMs;

type Step =
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'outage'; readonly ms: number }
  | { readonly kind: 'back'; readonly ms: number }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume' };

const minutes = (min: number, max: number) =>
  fc.integer({ min: min * 60, max: max * 60 }).map((seconds) => seconds * 1_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: minutes(0, 12).map((ms) => ({ kind: 'pass', ms }) as const) },
  { weight: 3, arbitrary: minutes(5, 1_500).map((ms) => ({ kind: 'outage', ms }) as const) },
  { weight: 1, arbitrary: minutes(1, 60).map((ms) => ({ kind: 'back', ms }) as const) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'suspend' } as const, { kind: 'resume' } as const) },
);
const rules: fc.Arbitrary<Rules> = fc.record({
  policy: fc.constantFrom<MissedRunPolicy>('skip', 'once', 'all'),
  deadlineMs: fc.oneof(fc.constant(null), fc.constantFrom(30_000, 15 * minuteMs, 90 * minuteMs)),
});

async function take(name: string, model: Model, next: Step): Promise<void> {
  if (next.kind === 'suspend') {
    await suspendSchedule(one(), change, name);
    model.isSuspended = true;
  } else if (next.kind === 'resume') {
    await resumeSchedule(one(), change, name);
    model.isSuspended = false;
    model.next = after(now);
  } else {
    const looks = next.kind === 'pass' ? 4 : 1;
    for (let look = 1; look <= looks; look += 1) {
      now += Math.floor((next.kind === 'back' ? -next.ms : next.ms) / looks);
      await fireOnBoth();
      model.look();
    }
  }
}

describe('D8 missed runs, over time that passes, jumps and goes back, on two services at once', () => {
  it('C-25 each becomes what the policy says, and one task at most', async () => {
    let count = 0;
    await fc.assert(
      fc.asyncProperty(rules, fc.array(step, { minLength: 3, maxLength: 12 }), async (given, steps) => {
        count += 1;
        const name = `model-${count}`;
        now = begin;
        const model = makeModel(given);
        await write(name, given);
        try {
          for (const next of steps) await take(name, model, next);
          const found = await outcomeOf(name);
          // What ran before the clock went back and a resume is not decided twice.
          expect(found.started).toEqual([...new Set(model.started)].toSorted((left, right) => left - right));
          const expectedSkips = new Set(model.skipped.filter((at) => !found.started.includes(at)));
          expect(found.skipped).toEqual([...expectedSkips].toSorted((left, right) => left - right));
        } finally {
          await removeSchedule(one(), change, name);
        }
      }),
      { numRuns: Number(process.env['SCHEDULE_RUNS'] ?? 12) },
    );
  });
});

describe('D8 the clock jumps', () => {
  const hourMs = 60 * minuteMs;
  const cases: readonly [MissedRunPolicy, number, number][] = [
    ['skip', 0, 18],
    ['once', 1, 17],
    ['all', 18, 0],
  ];
  it.each(cases)(
    'three hours ahead under %s: %i start, %i are skipped; back again: none repeats',
    async (policy, started, skipped) => {
      now = begin;
      await write(`jump-${policy}`, { policy, deadlineMs: null });
      now = begin + 3 * hourMs + 5 * minuteMs;
      await fireOnBoth();
      const found = await outcomeOf(`jump-${policy}`);
      expect([found.started.length, found.skipped.length]).toEqual([started, skipped]);
      now = begin;
      for (; now < begin + 3 * hourMs + 5 * minuteMs; now += 5 * minuteMs) await fireOnBoth();
      expect(await outcomeOf(`jump-${policy}`)).toEqual(found);
      now += 10 * minuteMs + minuteMs / 2;
      await fireOnBoth();
      const next = await outcomeOf(`jump-${policy}`);
      expect(next.started.length + next.skipped.length).toBe(started + skipped + 1);
      await removeSchedule(one(), change, `jump-${policy}`);
    },
  );

  it('a year of outage costs no more than a hundred runs, and a look is quick', async () => {
    now = begin;
    await write('year', { policy: 'all', deadlineMs: null });
    now = begin + 365 * 24 * hourMs;
    await fireOnBoth();
    const found = await outcomeOf('year');
    expect([found.started.length, found.skipped.length]).toEqual([100, 0]);
    expect(found.started.at(-1)).toBe(after(now) - everyMs);
    await removeSchedule(one(), change, 'year');
  });
});
