import type { ScheduleSpec } from './cron-task.ts';
import { readCadence, type Cadence } from './cron.ts';
import { preview, type SkipReason } from './due.ts';
import type { GivenWork } from './work.ts';

export interface Schedule {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerName: string;
  /** Of the workspace its work begins in. */
  readonly organizationId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: ScheduleSpec;
  readonly work: GivenWork;
  /** The first run that nobody decided about yet; null when there is none any more. */
  readonly nextRunAt: Date | null;
  /** When a run that is due is tried again. */
  readonly retryAt: Date | null;
  /** The newest run that was decided. */
  readonly lastRunAt: Date | null;
  readonly suspendedAt: Date | null;
  readonly suspendedReason: string | null;
  /** Runs in a row that were refused. */
  readonly refusals: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export type RunVerdict = 'started' | 'skipped' | 'refused';
/** Of the closed list of reasons: the owner may not any more, or the work does not fit any more. */
export type RefusalReason = 'DelegationMissing' | 'ContextError';

export interface ScheduleRun {
  readonly id: string;
  readonly scheduleId: string;
  /** `<schedule>-<unix seconds>` */
  readonly name: string;
  readonly cause: 'schedule' | 'trigger';
  readonly scheduledAt: Date;
  readonly decidedAt: Date;
  readonly verdict: RunVerdict;
  readonly reason: SkipReason | RefusalReason | null;
  readonly message: string | null;
  readonly taskId: string | null;
  readonly workflowId: string | null;
  /** What became of the task or workflow; null while it is not finished. */
  readonly outcome: string | null;
  readonly endedAt: Date | null;
}

export const runName = (schedule: string, scheduledAt: Date): string =>
  `${schedule}-${Math.floor(scheduledAt.getTime() / 1_000)}`;

export const cadenceOf = ({ spec }: Pick<Schedule, 'spec'>): Cadence => readCadence(spec.schedule, spec.timeZone);

const presentWork = ({ kind, body }: GivenWork) =>
  kind === 'task' ? { taskTemplate: { spec: body } } : { [kind]: body };

/** A schedule in the words of kubeopencode's `CronTask`; `status` is ours. */
export function presentSchedule(schedule: Schedule, unfinished: readonly ScheduleRun[], now: Date) {
  const { name, metadata, spec, suspendedAt, nextRunAt } = schedule;
  return {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'CronTask',
    metadata: { name, ...metadata },
    spec: { ...spec, suspend: suspendedAt !== null, ...presentWork(schedule.work) },
    status: {
      id: schedule.id,
      owner_id: schedule.ownerId,
      owner_name: schedule.ownerName,
      next_run_at: suspendedAt ? null : (nextRunAt?.toISOString() ?? null),
      /** What the cadence says, also while it is suspended. */
      next_runs: preview(cadenceOf(schedule), now).map((run) => run.toISOString()),
      last_run_at: schedule.lastRunAt?.toISOString() ?? null,
      suspended_at: suspendedAt?.toISOString() ?? null,
      suspended_reason: schedule.suspendedReason,
      refusals: schedule.refusals,
      active: unfinished.map((run) => run.name),
      created_at: schedule.createdAt.toISOString(),
      updated_at: schedule.updatedAt.toISOString(),
    },
  };
}

export const presentRun = (run: ScheduleRun) => ({
  id: run.id,
  name: run.name,
  cause: run.cause,
  scheduled_at: run.scheduledAt.toISOString(),
  decided_at: run.decidedAt.toISOString(),
  verdict: run.verdict,
  reason: run.reason,
  message: run.message,
  task_id: run.taskId,
  workflow_id: run.workflowId,
  outcome: run.outcome,
  ended_at: run.endedAt?.toISOString() ?? null,
});
