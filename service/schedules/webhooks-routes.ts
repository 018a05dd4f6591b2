import type { Request, Response } from 'express';
import { callerOf, type Caller } from '../identity/identity.ts';
import { mintToken, uuidv7 } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { placesOfCaller } from './owner-places.ts';
import { makeReceiveHook, type HookParts } from './receive-hook.ts';
import {
  presentDelivery,
  presentWebhook,
  readWebhook,
  sealPlace,
  webhookName,
  type Webhook,
  webhookBody,
} from './webhook.ts';
import {
  countWebhooks,
  deleteWebhook,
  findWebhook,
  listDeliveries,
  listWebhooks,
  saveWebhook,
} from './webhook-store.ts';
import { checkLaunch, organizationOf, pinWork } from './work.ts';
import { deliveryAnswer, webhookAnswer, webhookWithSecret, hookAnswer } from './schedule-shape.ts';

const base = '/api/v2/agents/webhooks';
const mostPerOwner = 200;

/** Webhooks of the caller, and the one door through which events come in. */
export function webhooksRoutes(parts: HookParts): (Route & { readonly rawBody?: true })[] {
  return [
    {
      method: 'post',
      path: '/hooks/:name',
      guard: 'open',
      rawBody: true,
      summary: 'Takes a signed event and starts the work of its webhook.',
      shape: { body: 'application/json', answers: { 200: hookAnswer, 202: hookAnswer } },
      handler: makeReceiveHook(parts),
    },
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your webhooks, newest first, without their secrets.',
      shape: { query: listQuery, answers: { 200: listAnswer(webhookAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const items = await listWebhooks(parts.database, { ownerId: callerOf(response).actor.id, limit, cursor });
        const ids = items.map(({ id }) => id);
        response.json({ items: items.map(presentWebhook), next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'put',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Creates a webhook and answers its secret, once; or changes one and keeps its secret.',
      shape: { body: webhookBody, answers: { 200: webhookAnswer, 201: webhookWithSecret } },
      handler: (request, response) => write(parts, request, response),
    },
    {
      method: 'get',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Reads a webhook, without its secret.',
      shape: { answers: { 200: webhookAnswer } },
      handler: async (request, response) => {
        response.json(presentWebhook(await mine(parts.database, callerOf(response), pathParameter(request, 'name'))));
      },
    },
    {
      method: 'delete',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Deletes a webhook with its deliveries; what it started goes on.',
      shape: { answers: { 204: null } },
      handler: async (request, response) => {
        await parts.database.transaction(async (tx) => {
          const webhook = await mine(tx, callerOf(response), pathParameter(request, 'name'), true);
          await deleteWebhook(tx, webhook.id);
          await record(tx, parts, webhook, 'webhook.deleted', requestId(response));
        });
        response.status(204).end();
      },
    },
    {
      method: 'post',
      path: `${base}/:name/rotate`,
      guard: 'user',
      summary: 'Gives a webhook another secret and answers it, once; the old one ends at once.',
      shape: { answers: { 200: webhookWithSecret } },
      handler: async (request, response) => {
        const { token, webhook } = await parts.database.transaction(async (tx) => {
          const before = await mine(tx, callerOf(response), pathParameter(request, 'name'), true);
          const { token } = mintToken('orw_', parts.randomness);
          const now = parts.clock.now();
          const sealed = parts.seal.seal(token, sealPlace(before.id));
          const webhook = { ...before, sealed, rotatedAt: now, updatedAt: now };
          await saveWebhook(tx, webhook);
          await record(tx, parts, webhook, 'webhook.rotated', requestId(response));
          return { token, webhook };
        });
        response.json({ ...presentWebhook(webhook), secret: token });
      },
    },
    {
      method: 'get',
      path: `${base}/:name/deliveries`,
      guard: 'user',
      summary: 'Lists what became of the events of a webhook in the last seven days, newest first.',
      shape: { query: listQuery, answers: { 200: listAnswer(deliveryAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const webhook = await mine(parts.database, callerOf(response), pathParameter(request, 'name'));
        const items = await listDeliveries(parts.database, { webhookId: webhook.id, limit, cursor });
        const ids = items.map(({ id }) => id);
        response.json({ items: items.map(presentDelivery), next_cursor: nextCursor(ids, limit) });
      },
    },
  ];
}

async function write(parts: HookParts, request: Request, response: Response): Promise<void> {
  const name = webhookName(pathParameter(request, 'name'));
  const caller = callerOf(response);
  const given = readWebhook(request.body);
  const placeOf = placesOfCaller(parts, caller, requestId(response));
  const work = await pinWork(parts.database, caller.actor.id, placeOf, given.work);
  const organizationId = organizationOf(await checkLaunch(parts, placeOf, work));
  const { webhook, secret } = await parts.database.transaction(async (tx) => {
    const before = await findWebhook(tx, name, true);
    if (before && before.ownerId !== caller.actor.id) throw nameTaken(name);
    if (!before && (await countWebhooks(tx, caller.actor.id)) >= mostPerOwner) throw tooMany();
    const now = parts.clock.now();
    const id = before?.id ?? uuidv7(parts.clock);
    const { token } = mintToken('orw_', parts.randomness);
    const owner = { ownerId: caller.actor.id, ownerName: caller.actor.name };
    const secrets = before ?? { sealed: parts.seal.seal(token, sealPlace(id)), createdAt: now, rotatedAt: now };
    const { sealed, createdAt, rotatedAt } = secrets;
    const webhook: Webhook = {
      ...{ id, name, kind: given.kind, ...owner, organizationId, rules: given.rules, work },
      ...{ sealed, createdAt, rotatedAt, updatedAt: now },
    };
    if (!(await saveWebhook(tx, webhook))) throw nameTaken(name);
    await record(tx, parts, webhook, 'webhook.written', requestId(response));
    return { webhook, secret: before ? {} : { secret: token } };
  });
  response.status('secret' in secret ? 201 : 200).json({ ...presentWebhook(webhook), ...secret });
}

/** A webhook of the caller. Throws `not_found`, for those of others too. */
async function mine(database: Pick<Transaction, 'as'>, caller: Caller, name: string, lock = false): Promise<Webhook> {
  const webhook = await findWebhook(database, name, lock);
  if (webhook?.ownerId !== caller.actor.id) throw notFound(`Webhook '${name}'`);
  return webhook;
}

const record = (
  tx: Transaction,
  parts: HookParts,
  webhook: Webhook,
  action: string,
  request: string,
): Promise<unknown> =>
  parts.audit.append(tx, {
    actor: `user:${webhook.ownerId}`,
    action,
    target: { type: 'webhook', id: webhook.id },
    outcome: 'success',
    ownerId: webhook.ownerId,
    organizationId: webhook.organizationId,
    requestId: request,
    data: { name: webhook.name, kind: webhook.kind },
  });

const nameTaken = (name: string): ServiceError =>
  new ServiceError(
    'conflict',
    'webhook_name_taken',
    `Somebody else has a webhook '${name}', and its name is an address of this service. Choose another name.`,
  );

const tooMany = (): ServiceError =>
  new ServiceError(
    'conflict',
    'too_many_webhooks',
    `You have ${mostPerOwner} webhooks, which is the most. Delete one you do not need.`,
  );
