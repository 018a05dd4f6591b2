import { uuidv7 } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { CancelParts } from '../workflows/cancel-workflow.ts';
import type { CheckParts, StartParts } from '../workflows/submit-workflow.ts';
import { endRun } from './end-run.ts';
import { rulesOf } from './cron-task.ts';
import { planDue, type DuePlan } from './due.ts';
import { readOwner, type PlaceParts } from './owner-places.ts';
import { insertRun, isDecided, pruneRuns, unfinishedRuns } from './run-store.ts';
import { cadenceOf, runName, type RefusalReason, type Schedule, type ScheduleRun } from './schedule.ts';
import { dueSchedules, holdUnchanged, postpone, saveSchedule } from './schedule-store.ts';
import { checkLaunch, startLaunch, type Launch } from './work.ts';
import type { Submitter } from '../tasks/submit-task.ts';

export interface FireParts extends PlaceParts, StartParts, CancelParts, Pick<CheckParts, 'checkCost'> {
  readonly engine: StartParts['engine'] & CancelParts['engine'];
  /** Throws where an organization does not have this. */
  readonly mustBeOn?: (flag: Feature, organizationId: string) => void;
}

export type Feature = 'schedules' | 'webhooks' | 'definitions';

/** Schedules looked at in one pass; the next one follows at once when there are more. */
const batchSize = 50;
/** How long a run waits that could not be decided: Coder was away, the queue full, or what it needs turned off. */
const retryMs = 15_000;
/** After so many refusals in a row nothing will have changed by itself. */
const refusalsAllowed = 5;

/** Decides every run that is due. Answers how many schedules there were; runs in any number of processes at once. */
export async function fireDue(parts: FireParts): Promise<number> {
  const due = await dueSchedules(parts.database, parts.clock.now(), batchSize);
  for (const schedule of due) {
    try {
      await fireSchedule(parts, schedule);
    } catch (error) {
      const isBug = !(error instanceof ServiceError) || error.kind === 'internal';
      parts.log[isBug ? 'error' : 'warn']({ error, scheduleId: schedule.id }, 'a run of a schedule has to wait');
      await postpone(parts.database, schedule, new Date(parts.clock.now().getTime() + retryMs));
    }
  }
  return due.length;
}

/** What may start, or why not. Throws where nobody can say now. */
export type Readiness = { readonly launch: Launch; readonly owner: Submitter } | { readonly refusal: Refusal };
interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

async function fireSchedule(parts: FireParts, seen: Schedule): Promise<void> {
  const now = parts.clock.now();
  const requestId = uuidv7(parts.clock);
  const plan = planDue(cadenceOf(seen), rulesOf(seen.spec), seen.nextRunAt ?? now, now);
  const newest = plan.due.findLast(({ skip }) => skip === null)?.at;
  // Coder is asked, and earlier runs are ended, before anything is held.
  const unfinished = await unfinishedRuns(parts.database, seen.id);
  const mayStart = newest !== undefined && (seen.spec.concurrencyPolicy !== 'Forbid' || unfinished.length === 0);
  const readiness = mayStart ? await readyToStart(parts, 'schedules', seen, requestId) : null;
  if (readiness && 'launch' in readiness && newest && seen.spec.concurrencyPolicy === 'Replace')
    for (const run of unfinished) if (run.scheduledAt < newest) await endRun(parts, run, seen.ownerId, requestId);
  await parts.database.transaction(async (tx) => {
    const schedule = await holdUnchanged(tx, seen);
    if (schedule) await decide(tx, parts, schedule, { plan, readiness, now, requestId });
  });
}

/** Checks the owner, the workspace and the bounds again. Throws for what is turned off: nobody refused that for good. */
export async function readyToStart(
  parts: FireParts,
  feature: Feature,
  given: Pick<Schedule, 'ownerId' | 'organizationId' | 'work' | 'updatedAt'>,
  requestId: string,
): Promise<Readiness> {
  try {
    parts.mustBeOn?.(feature, given.organizationId);
    if (given.work.kind === 'definition') parts.mustBeOn?.('definitions', given.organizationId);
    const { owner, placeOf } = await readOwner(parts, given.ownerId, requestId);
    return { owner, launch: await checkLaunch(parts, placeOf, given.work, given) };
  } catch (error) {
    if (!(error instanceof ServiceError) || !final.has(error.kind) || error.code === 'feature_off') throw error;
    return { refusal: { reason: reasonOf(error), message: error.message } };
  }
}

/** Kinds of errors that asking again would not mend. */
const final: ReadonlySet<string> = new Set(['invalid', 'unprocessable', 'forbidden', 'not_found']);

const reasonOf = ({ code }: ServiceError): RefusalReason =>
  code === 'delegation_missing' ? 'DelegationMissing' : 'ContextError';

interface Decision {
  readonly plan: DuePlan;
  /** Null where nothing may start. */
  readonly readiness: Readiness | null;
  readonly now: Date;
  readonly requestId: string;
}

/** Writes what becomes of every due run, with the work that starts, in one transaction. */
async function decide(tx: Transaction, parts: FireParts, schedule: Schedule, decision: Decision): Promise<void> {
  const { plan, now, requestId } = decision;
  // Somebody may have triggered a run since we looked.
  const isBusy = schedule.spec.concurrencyPolicy === 'Forbid' && (await unfinishedRuns(tx, schedule.id)).length > 0;
  const readiness = isBusy ? null : decision.readiness;
  let refused = false;
  let started = 0;
  let skipped = 0;
  for (const { at, skip } of plan.due) {
    if (await isDecided(tx, schedule.id, at)) continue;
    if (skip !== null || readiness === null) {
      await insertRun(tx, { ...newRun(parts, schedule, at, now), verdict: 'skipped', reason: skip ?? 'StillRunning' });
      skipped += 1;
    } else if ('refusal' in readiness) {
      await insertRun(tx, { ...newRun(parts, schedule, at, now), verdict: 'refused', ...readiness.refusal });
      refused = true;
    } else {
      await startRun(tx, parts, schedule, readiness, { at, now, requestId, cause: 'schedule' });
      started += 1;
    }
  }
  if (skipped > 0) await record(tx, parts, schedule, 'schedule.runs_skipped', requestId, { skipped, more: plan.isCut });
  const refusals = refused ? schedule.refusals + 1 : started > 0 ? 0 : schedule.refusals;
  if (refused) await record(tx, parts, schedule, 'schedule.run_refused', requestId, { refusals });
  const isSuspended = refused && refusals >= refusalsAllowed;
  if (isSuspended) await record(tx, parts, schedule, 'schedule.suspended', requestId, { refusals });
  await saveSchedule(tx, {
    ...schedule,
    nextRunAt: plan.next,
    retryAt: null,
    lastRunAt: plan.due.at(-1)?.at ?? schedule.lastRunAt,
    refusals,
    ...(isSuspended ? { suspendedAt: now, suspendedReason: `${refusals} runs in a row were refused` } : {}),
  });
  await pruneRuns(tx, schedule.id, schedule.spec.maxRetainedTasks);
}

/** Starts the work of one run and writes the run, in the caller's transaction. */
export async function startRun(
  tx: Transaction,
  parts: FireParts,
  schedule: Schedule,
  { launch, owner }: { readonly launch: Launch; readonly owner: Submitter },
  run: { readonly at: Date; readonly now: Date; readonly requestId: string; readonly cause: ScheduleRun['cause'] },
): Promise<Omit<ScheduleRun, 'outcome' | 'endedAt'>> {
  const name = runName(schedule.name, run.at);
  const started = await startLaunch(tx, parts, launch, { owner, name, requestId: run.requestId });
  const row = {
    ...newRun(parts, schedule, run.at, run.now),
    ...started,
    cause: run.cause,
    verdict: 'started' as const,
  };
  if (!(await insertRun(tx, row))) throw momentTaken(name);
  await record(tx, parts, schedule, 'schedule.run_started', run.requestId, {
    run: name,
    cause: run.cause,
    task_id: started.taskId,
    workflow_id: started.workflowId,
  });
  return row;
}

/** Two triggers in one millisecond: work without its run would be in no history, and no policy would count it. */
const momentTaken = (name: string): ServiceError =>
  new ServiceError('conflict', 'run_exists', `Run ${name} was started at the same moment. Trigger the schedule again.`);

const newRun = (parts: FireParts, schedule: Schedule, at: Date, now: Date) => ({
  id: uuidv7(parts.clock),
  scheduleId: schedule.id,
  name: runName(schedule.name, at),
  cause: 'schedule' as const,
  scheduledAt: at,
  decidedAt: now,
  reason: null,
  message: null,
  taskId: null,
  workflowId: null,
});

const record = (
  tx: Transaction,
  parts: FireParts,
  schedule: Schedule,
  action: string,
  requestId: string,
  data: Readonly<Record<string, string | number | boolean | null>>,
): Promise<unknown> =>
  parts.audit.append(tx, {
    actor: 'service',
    action,
    target: { type: 'schedule', id: schedule.id },
    outcome: action === 'schedule.run_refused' ? 'denied' : 'success',
    ownerId: schedule.ownerId,
    organizationId: schedule.organizationId,
    requestId,
    data,
  });
