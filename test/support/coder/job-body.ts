import { noId, time } from './answers.ts';
import type { Phase } from './timeline.ts';
import type { JobEnd, World } from './world.ts';

const workerId = 'c1feeb74-f479-4ba5-b07a-8de0c7ab0ce3';
/** A time that is absent, not null, while it is not known. */
export const optional = (key: string, at: number | null) => (at === null ? {} : { [key]: time(at) });

export function jobBody(
  world: World,
  job: {
    readonly jobId: string;
    readonly createdAt: number;
    readonly ends: JobEnd;
    readonly fileId: string;
    readonly initiatorId: string;
    readonly type: string;
    readonly input: Readonly<Record<string, string>>;
  },
  phase: Phase,
  fresh: boolean,
) {
  const waiting = phase.job === 'pending' && !fresh;
  const ended = phase.completedAt !== null;
  const canceledAt = phase.job === 'canceled' || phase.job === 'canceling' || (ended && job.ends.wasCanceled === true);
  return {
    id: job.jobId,
    created_at: time(job.createdAt),
    ...optional('started_at', phase.startedAt),
    ...optional('completed_at', phase.completedAt),
    ...(canceledAt ? { canceled_at: time(phase.completedAt ?? world.now()) } : {}),
    ...(ended && job.ends.error ? { error: job.ends.error } : {}),
    ...(ended && job.ends.errorCode ? { error_code: job.ends.errorCode } : {}),
    status: phase.job,
    ...(phase.startedAt === null ? {} : { worker_id: workerId }),
    file_id: job.fileId,
    tags: { owner: '', scope: 'organization' },
    queue_position: waiting ? 1 : 0,
    queue_size: waiting ? 1 : 0,
    organization_id: world.organization.id,
    initiator_id: job.initiatorId,
    input: job.input,
    type: job.type,
    metadata: {
      template_version_name: '',
      template_id: noId,
      template_name: '',
      template_display_name: '',
      template_icon: '',
    },
    logs_overflowed: false,
  };
}

export const provisioners = (world: World) => ({ count: 1, available: 1, most_recently_seen: time(world.now()) });
export const noProvisioners = { count: 0, available: 0, most_recently_seen: null };
