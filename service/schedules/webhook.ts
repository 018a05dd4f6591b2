import { z } from 'zod';
import { parse } from '../platform/http.ts';
import type { SealedTable } from '../secrets/sealed-columns.ts';
import { scheduleName } from './cron-task.ts';
import { webhookKinds, type WebhookKind } from './webhook-signature.ts';
import { readWork, type GivenWork } from './work.ts';

const pointer = z
  .string()
  .max(500)
  .regex(/^(\/([^~/]|~[01])*)*$/, 'must be a JSON pointer such as /pull_request/title');

/** Body of a webhook. */
export const webhookBody = z.strictObject({
  kind: z.enum(webhookKinds),
  /** Words of the sender's event header; without any, every event counts. */
  events: z.array(z.string().min(1).max(100)).max(50).default([]),
  /** All must hold. */
  filters: z
    .array(z.strictObject({ pointer, equals: z.union([z.string().max(1_000), z.number(), z.boolean(), z.null()]) }))
    .max(20)
    .default([]),
  /** What of the payload the agent is shown. */
  mapping: z
    .array(
      z.strictObject({
        pointer,
        parameter: z.string().regex(/^[A-Za-z0-9_]{1,63}$/, 'must be 1 to 63 letters, digits and _'),
      }),
    )
    .max(50)
    .refine((all) => new Set(all.map((one) => one.parameter)).size === all.length, 'two have the same parameter')
    .default([]),
  task: z.unknown().optional(),
  workflow: z.unknown().optional(),
  definition: z.unknown().optional(),
});

export type WebhookRules = Pick<z.output<typeof webhookBody>, 'events' | 'filters' | 'mapping'>;

export interface Webhook {
  readonly id: string;
  readonly name: string;
  readonly kind: WebhookKind;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly organizationId: string;
  readonly rules: WebhookRules;
  readonly work: GivenWork;
  /** The secret, which checking a signature needs in the clear. */
  readonly sealed: Buffer;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly rotatedAt: Date;
}

export interface WebhookDelivery {
  readonly id: string;
  readonly webhookId: string;
  readonly deliveryId: string;
  readonly fingerprint: string;
  readonly event: string | null;
  readonly receivedAt: Date;
  readonly verdict: 'started' | 'ignored' | 'refused';
  readonly reason: string | null;
  readonly message: string | null;
  readonly taskId: string | null;
  readonly workflowId: string | null;
}

export interface GivenWebhook {
  readonly kind: WebhookKind;
  readonly rules: WebhookRules;
  readonly work: GivenWork;
}

/** Reads the body of a PUT; every fault is named with its path. Throws `invalid`. */
export function readWebhook(given: unknown): GivenWebhook {
  const { kind, task, workflow, definition, ...rules } = parse(webhookBody, given, 'The webhook');
  return { kind, rules, work: readWork({ task, workflow, definition }, '') };
}

/** A name is a path of this service, so it is one for all people. */
export const webhookName = (text: string): string =>
  parse(z.object({ name: scheduleName }), { name: text }, 'The path').name;

export const sealPlace = (id: string): string => `webhook/${id}`;

export const webhookSealed: SealedTable = {
  table: 'webhook',
  columns: ['id'],
  contextOf: ({ id = '' }) => sealPlace(id),
};

export const presentWebhook = (webhook: Webhook) => ({
  id: webhook.id,
  name: webhook.name,
  kind: webhook.kind,
  path: `/hooks/${webhook.name}`,
  owner_id: webhook.ownerId,
  owner_name: webhook.ownerName,
  ...webhook.rules,
  [webhook.work.kind]: webhook.work.body,
  created_at: webhook.createdAt.toISOString(),
  updated_at: webhook.updatedAt.toISOString(),
  rotated_at: webhook.rotatedAt.toISOString(),
});

export const presentDelivery = (delivery: WebhookDelivery) => ({
  id: delivery.id,
  delivery_id: delivery.deliveryId,
  event: delivery.event,
  received_at: delivery.receivedAt.toISOString(),
  verdict: delivery.verdict,
  reason: delivery.reason,
  message: delivery.message,
  task_id: delivery.taskId,
  workflow_id: delivery.workflowId,
});
