/** A process that fires schedules, for tests that kill one: its clock runs faster than ours. Says 'started'. */
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../service/platform/database.ts';
import { fireDue } from '../../service/schedules/fire.ts';
import { makeScheduleParts, type RoomIds } from './schedules-room.ts';

export interface ScheduleProcessOptions {
  readonly url: string;
  readonly ids: RoomIds;
  /** The clock: `epochMs` at `startedAtMs` of the wall clock, `speed` times as fast since. */
  readonly epochMs: number;
  readonly startedAtMs: number;
  readonly speed: number;
  /** Kills itself inside the transaction that starts the first workflow, when it has come so far. */
  readonly dieInTransaction: boolean;
}

const options = JSON.parse(process.argv[2] ?? '') as ScheduleProcessOptions;
const database = openDatabase({ url: options.url });
const clock = { now: () => new Date(options.epochMs + (Date.now() - options.startedAtMs) * options.speed) };
const parts = makeScheduleParts({
  database,
  clock,
  ids: options.ids,
  enqueue: async (tx, request) => {
    await tx.client.query('insert into outrigger.effect (id) values ($1)', [request.id]);
    if (options.dieInTransaction) process.kill(process.pid, 'SIGKILL');
    // Long enough that a kill from outside finds a transaction open.
    await sleep(15);
  },
});

process.send?.('started');
for (;;) {
  await fireDue(parts);
  await sleep(10);
}
