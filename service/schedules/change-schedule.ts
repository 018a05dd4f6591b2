import type { Caller } from '../identity/identity.ts';
import { uuidv7 } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import type { CronTask } from './cron-task.ts';
import { endRun } from './end-run.ts';
import { readyToStart, startRun, type FireParts } from './fire.ts';
import { placesOfCaller } from './owner-places.ts';
import { pruneRuns, unfinishedRuns } from './run-store.ts';
import { cadenceOf, type Schedule, type ScheduleRun } from './schedule.ts';
import { countSchedules, deleteSchedule, findSchedule, lockName, saveSchedule } from './schedule-store.ts';
import { checkLaunch, organizationOf, pinWork } from './work.ts';

/** More than anybody writes by hand; a loop that writes them is stopped. */
const mostPerOwner = 200;

/** Somebody who changes a schedule of their own. */
export interface Change {
  readonly caller: Caller;
  readonly requestId: string;
}

/**
 * Writes a schedule after the checks that its work would get now. Answers it, and whether it is new.
 *
 * Changed  what is due already stays due as long as the cadence is the same and it was not suspended.
 * Errors   those of a submission; `unprocessable` for a workspace of somebody else; `conflict` with `mustBeNew`.
 */
export async function writeSchedule(
  parts: FireParts,
  { caller, requestId }: Change,
  task: CronTask,
  mustBeNew = false,
): Promise<{ readonly schedule: Schedule; readonly isNew: boolean }> {
  const placeOf = placesOfCaller(parts, caller, requestId);
  const work = await pinWork(parts.database, caller.actor.id, placeOf, task.work);
  const launch = await checkLaunch(parts, placeOf, work);
  return parts.database.transaction(async (tx) => {
    await lockName(tx, caller.actor.id, task.name);
    const before = await findSchedule(tx, caller.actor.id, task.name, true);
    if (before && mustBeNew) throw nameTaken(task.name);
    if (!before && (await countSchedules(tx, caller.actor.id)) >= mostPerOwner) throw tooMany();
    const now = parts.clock.now();
    const isSame = before !== null && keepsCadence(before, task);
    const schedule: Schedule = {
      id: before?.id ?? uuidv7(parts.clock),
      name: task.name,
      ownerId: caller.actor.id,
      ownerName: caller.actor.name,
      organizationId: organizationOf(launch),
      metadata: task.metadata,
      spec: task.spec,
      work,
      nextRunAt: isSame ? before.nextRunAt : task.cadence.next(now),
      retryAt: isSame ? before.retryAt : null,
      lastRunAt: before?.lastRunAt ?? null,
      suspendedAt: task.suspend ? (before?.suspendedAt ?? now) : null,
      suspendedReason: task.suspend ? (before?.suspendedReason ?? null) : null,
      refusals: 0,
      createdAt: before?.createdAt ?? now,
      updatedAt: now,
    };
    await saveSchedule(tx, schedule);
    await record(tx, parts, schedule, 'schedule.written', requestId);
    return { schedule, isNew: before === null };
  });
}

const keepsCadence = (before: Schedule, { spec, suspend }: CronTask): boolean =>
  before.spec.schedule === spec.schedule &&
  before.spec.timeZone === spec.timeZone &&
  (before.suspendedAt === null || suspend);

/** Lets nothing start any more; what was due stays undecided and is skipped on resuming. Harmless when repeated. */
export const suspendSchedule = (parts: FireParts, change: Change, name: string): Promise<Schedule> =>
  changeRow(parts, change, name, 'schedule.suspended', (schedule, now) =>
    schedule.suspendedAt ? schedule : { ...schedule, suspendedAt: now, suspendedReason: 'Suspended by its owner' },
  );

/** Begins again with the first run from now: what was due meanwhile is skipped. Also repairs a clock that was ahead. */
export const resumeSchedule = (parts: FireParts, change: Change, name: string): Promise<Schedule> =>
  changeRow(parts, change, name, 'schedule.resumed', (schedule, now) => ({
    ...schedule,
    nextRunAt: cadenceOf(schedule).next(now),
    retryAt: null,
    suspendedAt: null,
    suspendedReason: null,
    refusals: 0,
  }));

export const removeSchedule = (parts: FireParts, { caller, requestId }: Change, name: string): Promise<void> =>
  parts.database.transaction(async (tx) => {
    const schedule = await mine(tx, caller, name);
    await deleteSchedule(tx, schedule.id);
    await record(tx, parts, schedule, 'schedule.deleted', requestId);
  });

/**
 * Starts a run now, also while the schedule is suspended; `within` is given the transaction in which it is stored.
 *
 * Errors  `conflict` under Forbid while a run is not finished; what a submission throws when the work does not fit.
 */
export async function triggerSchedule<Answer>(
  parts: FireParts,
  { caller, requestId }: Change,
  name: string,
  within: (tx: Transaction, start: () => Promise<Omit<ScheduleRun, 'outcome' | 'endedAt'>>) => Promise<Answer>,
): Promise<Answer> {
  const seen = await mine(parts.database, caller, name);
  const unfinished = await unfinishedRuns(parts.database, seen.id);
  if (seen.spec.concurrencyPolicy === 'Forbid' && unfinished.length > 0) throw stillRuns(name, unfinished);
  const readiness = await readyToStart(parts, 'schedules', seen, requestId);
  if ('refusal' in readiness) throw refused(readiness.refusal);
  const now = parts.clock.now();
  if (seen.spec.concurrencyPolicy === 'Replace')
    for (const run of unfinished) if (run.scheduledAt < now) await endRun(parts, run, seen.ownerId, requestId);
  return parts.database.transaction((tx) =>
    within(tx, async () => {
      const schedule = await mine(tx, caller, name, true);
      const open = schedule.spec.concurrencyPolicy === 'Forbid' ? await unfinishedRuns(tx, schedule.id) : [];
      if (open.length > 0) throw stillRuns(name, open);
      const run = await startRun(tx, parts, schedule, readiness, { at: now, now, requestId, cause: 'trigger' });
      await pruneRuns(tx, schedule.id, schedule.spec.maxRetainedTasks);
      return run;
    }),
  );
}

/** A schedule of the caller. Throws `not_found`, for those of others too. */
export async function mine(
  database: Pick<Transaction, 'as'>,
  caller: Caller,
  name: string,
  lock = false,
): Promise<Schedule> {
  const schedule = await findSchedule(database, caller.actor.id, name, lock);
  if (!schedule) throw notFound(`Schedule '${name}'`);
  return schedule;
}

const changeRow = (
  parts: FireParts,
  { caller, requestId }: Change,
  name: string,
  action: string,
  change: (schedule: Schedule, now: Date) => Schedule,
): Promise<Schedule> =>
  parts.database.transaction(async (tx) => {
    const before = await mine(tx, caller, name, true);
    const now = parts.clock.now();
    const after = { ...change(before, now), updatedAt: now };
    await saveSchedule(tx, after);
    await record(tx, parts, after, action, requestId);
    return after;
  });

const record = (
  tx: Transaction,
  parts: FireParts,
  schedule: Schedule,
  action: string,
  requestId: string,
): Promise<unknown> =>
  parts.audit.append(tx, {
    actor: `user:${schedule.ownerId}`,
    action,
    target: { type: 'schedule', id: schedule.id },
    outcome: 'success',
    ownerId: schedule.ownerId,
    organizationId: schedule.organizationId,
    requestId,
    data: { name: schedule.name, next_run_at: schedule.nextRunAt?.toISOString() ?? null },
  });

const nameTaken = (name: string): ServiceError =>
  new ServiceError(
    'conflict',
    'schedule_exists',
    `You have a schedule '${name}'. Change it with PUT, or choose another name.`,
  );

const tooMany = (): ServiceError =>
  new ServiceError(
    'conflict',
    'too_many_schedules',
    `You have ${mostPerOwner} schedules, which is the most. Delete one you do not need.`,
  );

const stillRuns = (name: string, [run]: readonly ScheduleRun[]): ServiceError =>
  new ServiceError(
    'conflict',
    'run_unfinished',
    `Run ${run?.name} of schedule '${name}' is not finished, and its concurrencyPolicy is Forbid. Wait for it, or stop it.`,
  );

const refused = ({ reason, message }: { readonly reason: string; readonly message: string }): ServiceError =>
  new ServiceError('unprocessable', 'run_refused', `${message} (${reason})`);
