import { z } from 'zod';
import { taskOutcomes, workflowOutcomes } from '../../modules/contract.ts';

const time = z.iso.datetime();
const work = {
  taskTemplate: z.unknown().optional(),
  workflow: z.unknown().optional(),
  definition: z.unknown().optional(),
};

/** A schedule in the words of kubeopencode's `CronTask`; `status` is ours. */
export const scheduleAnswer = z
  .strictObject({
    apiVersion: z.literal('kubeopencode.io/v1alpha1'),
    kind: z.literal('CronTask'),
    metadata: z.looseObject({ name: z.string() }),
    spec: z.looseObject({ schedule: z.string(), timeZone: z.string(), suspend: z.boolean(), ...work }),
    status: z.strictObject({
      id: z.uuid(),
      owner_id: z.string(),
      owner_name: z.string(),
      next_run_at: time.nullable(),
      next_runs: z.array(time),
      last_run_at: time.nullable(),
      suspended_at: time.nullable(),
      suspended_reason: z.string().nullable(),
      refusals: z.number().int(),
      active: z.array(z.string()),
      created_at: time,
      updated_at: time,
    }),
  })
  .meta({ id: 'Schedule' });

/** When a schedule would run. */
export const previewAnswer = z.strictObject({ schedule: z.string(), timeZone: z.string(), next_runs: z.array(time) });

/** What became of one time of a schedule. */
export const runAnswer = z
  .strictObject({
    id: z.uuid(),
    name: z.string(),
    cause: z.string(),
    scheduled_at: time,
    decided_at: time,
    verdict: z.string(),
    reason: z.string().nullable(),
    message: z.string().nullable(),
    task_id: z.uuid().nullable(),
    workflow_id: z.uuid().nullable(),
    outcome: z.enum([...taskOutcomes, ...workflowOutcomes]).nullable(),
    ended_at: time.nullable(),
  })
  .meta({ id: 'ScheduleRun' });

const webhookFields = {
  id: z.uuid(),
  name: z.string(),
  kind: z.string(),
  path: z.string(),
  owner_id: z.string(),
  owner_name: z.string(),
  events: z.array(z.string()),
  filters: z.array(z.strictObject({ pointer: z.string(), equals: z.unknown() })),
  mapping: z.array(z.strictObject({ pointer: z.string(), parameter: z.string() })),
  task: z.unknown().optional(),
  workflow: z.unknown().optional(),
  definition: z.unknown().optional(),
  created_at: time,
  updated_at: time,
  rotated_at: time,
};

/** A webhook, without its secret. */
export const webhookAnswer = z.strictObject(webhookFields).meta({ id: 'Webhook' });

/** A webhook with its secret, which is shown this once. */
export const webhookWithSecret = z.strictObject({ ...webhookFields, secret: z.string() });

/** What the sender of an event hears. */
export const hookAnswer = z.looseObject({ status: z.string(), id: z.uuid() });

/** What became of one event. */
export const deliveryAnswer = z
  .strictObject({
    id: z.uuid(),
    delivery_id: z.string(),
    event: z.string().nullable(),
    received_at: time,
    verdict: z.enum(['started', 'ignored', 'refused']),
    reason: z.string().nullable(),
    message: z.string().nullable(),
    task_id: z.uuid().nullable(),
    workflow_id: z.uuid().nullable(),
  })
  .meta({ id: 'WebhookDelivery' });
