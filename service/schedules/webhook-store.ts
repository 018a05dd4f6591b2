import type { Selectable } from 'kysely';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson, storableText } from '../platform/storable.ts';
import type { Webhook, WebhookDelivery, WebhookRules } from './webhook.ts';
import type { WebhookKind } from './webhook-signature.ts';
import type { GivenWork } from './work.ts';

interface WebhookTable {
  id: string;
  name: string;
  kind: WebhookKind;
  owner_id: string;
  owner_name: string;
  organization_id: string;
  rules: unknown;
  work: unknown;
  sealed: Buffer;
  created_at: Date;
  updated_at: Date;
  rotated_at: Date;
}

interface DeliveryTable {
  id: string;
  webhook_id: string;
  delivery_id: string;
  fingerprint: string;
  event: string | null;
  received_at: Date;
  verdict: WebhookDelivery['verdict'];
  reason: string | null;
  message: string | null;
  task_id: string | null;
  workflow_id: string | null;
}

interface Tables {
  webhook: WebhookTable;
  webhook_delivery: DeliveryTable;
}

const toWebhook = (row: Selectable<WebhookTable>): Webhook => ({
  id: row.id,
  name: row.name,
  kind: row.kind,
  ownerId: row.owner_id,
  ownerName: row.owner_name,
  organizationId: row.organization_id,
  rules: row.rules as WebhookRules,
  work: row.work as GivenWork,
  sealed: row.sealed,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  rotatedAt: row.rotated_at,
});

const toDelivery = (row: Selectable<DeliveryTable>): WebhookDelivery => ({
  id: row.id,
  webhookId: row.webhook_id,
  deliveryId: row.delivery_id,
  fingerprint: row.fingerprint,
  event: row.event,
  receivedAt: row.received_at,
  verdict: row.verdict,
  reason: row.reason,
  message: row.message,
  taskId: row.task_id,
  workflowId: row.workflow_id,
});

export async function findWebhook(database: Pick<Database, 'as'>, name: string, lock = false): Promise<Webhook | null> {
  const query = database.as<Tables>().selectFrom('webhook').selectAll().where('name', '=', name);
  const row = await (lock ? query.forUpdate() : query).executeTakeFirst();
  return row ? toWebhook(row) : null;
}

interface Page {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Newest first. */
export async function listWebhooks(
  database: Database,
  page: Page & { readonly ownerId: string },
): Promise<readonly Webhook[]> {
  let query = database.as<Tables>().selectFrom('webhook').selectAll().where('owner_id', '=', page.ownerId);
  if (page.cursor !== undefined) query = query.where('id', '<', page.cursor);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(toWebhook);
}

export async function countWebhooks(tx: Transaction, ownerId: string): Promise<number> {
  const { count } = await tx
    .as<Tables>()
    .selectFrom('webhook')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('owner_id', '=', ownerId)
    .executeTakeFirstOrThrow();
  return count;
}

/** Writes a webhook, new or changed. False when somebody took the name meanwhile. */
export async function saveWebhook(tx: Transaction, webhook: Webhook): Promise<boolean> {
  const values = {
    kind: webhook.kind,
    owner_name: webhook.ownerName,
    organization_id: webhook.organizationId,
    rules: storableJson(webhook.rules),
    work: storableJson(webhook.work),
    sealed: webhook.sealed,
    updated_at: webhook.updatedAt,
    rotated_at: webhook.rotatedAt,
  };
  const { id, name, ownerId, createdAt } = webhook;
  const { numInsertedOrUpdatedRows } = await tx
    .as<Tables>()
    .insertInto('webhook')
    .values({ id, name, owner_id: ownerId, created_at: createdAt, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values).where('webhook.id', '=', id))
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

export async function deleteWebhook(tx: Transaction, id: string): Promise<void> {
  await tx.as<Tables>().deleteFrom('webhook').where('id', '=', id).execute();
}

/** The delivery that this one repeats: the same id, or the same signed content. */
export async function findDelivery(
  database: Pick<Database, 'as'>,
  of: Pick<WebhookDelivery, 'webhookId' | 'deliveryId' | 'fingerprint'>,
): Promise<WebhookDelivery | null> {
  const row = await database
    .as<Tables>()
    .selectFrom('webhook_delivery')
    .selectAll()
    .where('webhook_id', '=', of.webhookId)
    .where((where) => where.or([where('delivery_id', '=', of.deliveryId), where('fingerprint', '=', of.fingerprint)]))
    .executeTakeFirst();
  return row ? toDelivery(row) : null;
}

/** Takes the place of a delivery. False when it was delivered before; two at once: the second waits for the first. */
export async function insertDelivery(tx: Transaction, delivery: WebhookDelivery): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .as<Tables>()
    .insertInto('webhook_delivery')
    .values({
      id: delivery.id,
      webhook_id: delivery.webhookId,
      delivery_id: delivery.deliveryId,
      fingerprint: delivery.fingerprint,
      event: delivery.event === null ? null : storableText(delivery.event.slice(0, 200)),
      received_at: delivery.receivedAt,
      verdict: delivery.verdict,
      reason: delivery.reason,
      message: delivery.message === null ? null : storableText(delivery.message),
      task_id: delivery.taskId,
      workflow_id: delivery.workflowId,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/** Says what the delivery started. */
export async function setStarted(
  tx: Transaction,
  id: string,
  started: { readonly taskId: string | null; readonly workflowId: string | null },
): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('webhook_delivery')
    .set({ verdict: 'started', task_id: started.taskId, workflow_id: started.workflowId })
    .where('id', '=', id)
    .execute();
}

/** Newest first. */
export async function listDeliveries(
  database: Database,
  page: Page & { readonly webhookId: string },
): Promise<readonly WebhookDelivery[]> {
  let query = database.as<Tables>().selectFrom('webhook_delivery').selectAll().where('webhook_id', '=', page.webhookId);
  if (page.cursor !== undefined) query = query.where('id', '<', page.cursor);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(toDelivery);
}

/** Long enough that nobody keeps a captured event for later: GitHub signs no time. */
export const keepDeliveriesMs = 7 * 24 * 3_600_000;

export async function forgetOldDeliveries(database: Database, now: Date): Promise<void> {
  await database
    .as<Tables>()
    .deleteFrom('webhook_delivery')
    .where('received_at', '<', new Date(now.getTime() - keepDeliveriesMs))
    .execute();
}
