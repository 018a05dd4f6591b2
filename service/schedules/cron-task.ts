import { z } from 'zod';
import { ServiceError } from '../platform/errors.ts';
import { parse } from '../platform/http.ts';
import { CadenceFault, readCadence, type Cadence } from './cron.ts';
import { missedRunPolicies, type MissedRules } from './due.ts';
import { readWork, type GivenWork } from './work.ts';

/** Leaves room for `-<unix seconds>` in a name of Kubernetes. */
export const scheduleName = z
  .string()
  .max(52)
  .regex(
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
    'must be up to 52 lower-case letters, digits and hyphens, such as nightly-tests',
  );

export const concurrencyPolicies = ['Forbid', 'Allow', 'Replace'] as const;

export const cadenceFields = {
  schedule: z.string().min(1).max(200),
  timeZone: z.string().min(1).max(100).default('UTC'),
};

const labels = z.record(z.string().max(317), z.string().max(1_000));
const metadata = z.strictObject({ name: scheduleName, labels: labels.optional(), annotations: labels.optional() });

/** kubeopencode's `CronTask`, with what is ours beside it; what is not here is refused, because nothing would heed it. */
export const cronTask = z.strictObject({
  apiVersion: z.literal('kubeopencode.io/v1alpha1'),
  kind: z.literal('CronTask'),
  metadata,
  spec: z.strictObject({
    ...cadenceFields,
    concurrencyPolicy: z.enum(concurrencyPolicies).default('Forbid'),
    startingDeadlineSeconds: z.number().int().min(10).max(604_800).optional(),
    maxRetainedTasks: z.number().int().min(1).max(1_000).default(10),
    suspend: z.boolean().default(false),
    missedRunPolicy: z.enum(missedRunPolicies).default('once'),
    taskTemplate: z.unknown().optional(),
    workflow: z.unknown().optional(),
    definition: z.unknown().optional(),
  }),
});

/** What a schedule says of itself, apart from its work; stored and shown as it is. */
export type ScheduleSpec = Omit<
  z.output<typeof cronTask>['spec'],
  'suspend' | 'taskTemplate' | 'workflow' | 'definition'
>;

export interface CronTask {
  readonly name: string;
  /** Labels and annotations. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec: ScheduleSpec;
  readonly suspend: boolean;
  readonly work: GivenWork;
  readonly cadence: Cadence;
}

/** Reads a body; every fault is named with its path. Throws `invalid`. */
export function readCronTask(body: unknown): CronTask {
  const { metadata, spec } = parse(cronTask, body, 'The schedule');
  const { name, ...restOfMetadata } = metadata;
  const { suspend, taskTemplate, workflow, definition, ...rest } = spec;
  const cadence = readSpecCadence(rest, 'spec.');
  if (rest.missedRunPolicy === 'all' && rest.concurrencyPolicy !== 'Allow') throw allNeedsAllow();
  return {
    name,
    metadata: restOfMetadata,
    spec: rest,
    suspend,
    work: readWork({ taskTemplate, workflow, definition }, 'spec'),
    cadence,
  };
}

/** The cadence of a spec. Throws `invalid` with the path of the field. */
export function readSpecCadence(spec: { readonly schedule: string; readonly timeZone: string }, where = ''): Cadence {
  try {
    return readCadence(spec.schedule, spec.timeZone);
  } catch (error) {
    if (!(error instanceof CadenceFault)) throw error;
    throw invalid(`${where}${error.field}`, error.message);
  }
}

export const rulesOf = ({ missedRunPolicy, startingDeadlineSeconds }: ScheduleSpec): MissedRules => ({
  missedRunPolicy,
  startingDeadlineMs: startingDeadlineSeconds === undefined ? null : startingDeadlineSeconds * 1_000,
});

const invalid = (path: string, message: string): ServiceError =>
  new ServiceError('invalid', 'invalid_request', `The schedule is not valid: ${path}: ${message}.`, {
    errors: [{ path, message }],
  });

/** Forbid would drop all but one of them, and Replace would cancel all but one. */
const allNeedsAllow = (): ServiceError =>
  invalid('spec.missedRunPolicy', "'all' starts several runs at once and needs concurrencyPolicy Allow");
