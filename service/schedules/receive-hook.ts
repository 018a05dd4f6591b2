import type { Request, Response } from 'express';
import { limits } from '../../modules/contract.ts';
import { uuidv7, type Randomness } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { checkText, requestId } from '../platform/http.ts';
import type { Seal } from '../platform/seal.ts';
import { eventText, isWanted, withEvent } from './event-text.ts';
import { readyToStart, type FireParts, type Readiness } from './fire.ts';
import { makeHookBrake } from './hook-brake.ts';
import { readRawBody } from './raw-body.ts';
import { runName } from './schedule.ts';
import { sealPlace, type Webhook, type WebhookDelivery } from './webhook.ts';
import { authenticate, kindLike, type Delivery, type HeaderOf } from './webhook-signature.ts';
import { findDelivery, findWebhook, insertDelivery, setStarted } from './webhook-store.ts';
import { startLaunch, type Started } from './work.ts';

export interface HookParts extends FireParts {
  readonly seal: Seal;
  readonly randomness: Randomness;
  readonly admitSoon: () => void;
}

const nobody = '00000000-0000-0000-0000-000000000000';

/**
 * `POST /hooks/{name}`: open to anybody who proves to know the webhook's secret.
 *
 * Answers  202 with what was started; 200 for a replay and for an event that nobody waits for; 401 for a wrong proof
 *          and for a name that nobody has, in the same words and the same time; 503 while Coder does not answer.
 * Safety   nothing of the payload is read before the proof; the delivery and what it starts are one transaction.
 */
export function makeReceiveHook(parts: HookParts): (request: Request, response: Response) => Promise<void> {
  const brake = makeHookBrake(parts.clock);
  const decoy = { id: nobody, sealed: parts.seal.seal(parts.randomness.bytes(32).toString('hex'), sealPlace(nobody)) };
  return async (request, response) => {
    brake.anybody(request.socket.remoteAddress ?? '');
    const body = await readRawBody(request, limits.jsonBodyBytes);
    const { webhook, delivery } = await admit(parts, decoy, request, body);
    const before = await findDelivery(parts.database, keyOf(webhook, delivery));
    if (before) return void response.status(200).json(repeated(before));
    brake.webhook(webhook.id);
    const answer = await take(parts, webhook, delivery, readPayload(body), requestId(response));
    if (answer.status === 202) parts.admitSoon();
    response.status(answer.status).json(answer.body);
  };
}

type Admitted = { readonly webhook: Webhook; readonly delivery: Delivery & { readonly id: string } };

/** The webhook that a request proves to know. Throws `unauthenticated`, in the same time whatever was wrong. */
async function admit(
  { database, seal, clock }: HookParts,
  decoy: Pick<Webhook, 'id' | 'sealed'>,
  request: Request,
  body: Buffer,
): Promise<Admitted> {
  const header: HeaderOf = (name) => request.get(name);
  const webhook = await findWebhook(database, String(request.params['name']).slice(0, 100));
  const { id, sealed } = webhook ?? decoy;
  const secret = seal.open(sealed, sealPlace(id)).toString('utf8');
  const delivery = authenticate(webhook?.kind ?? kindLike(header), { secret, header, body, now: clock.now() });
  if (!webhook || !delivery) throw notProven();
  if (delivery.id === null) throw idMissing();
  return { webhook, delivery: { ...delivery, id: delivery.id } };
}

const keyOf = (webhook: Webhook, { id, fingerprint }: Admitted['delivery']) => ({
  webhookId: webhook.id,
  deliveryId: id,
  fingerprint,
});

interface HookAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function take(
  parts: HookParts,
  webhook: Webhook,
  delivery: Admitted['delivery'],
  payload: unknown,
  request: string,
): Promise<HookAnswer> {
  const now = parts.clock.now();
  const row = { ...keyOf(webhook, delivery), id: uuidv7(parts.clock), event: delivery.event, receivedAt: now };
  const isForUs = delivery.event !== 'ping' && isWanted(webhook.rules, delivery.event, payload);
  const readiness = isForUs
    ? prepared(parts, webhook, payload, await readyToStart(parts, 'webhooks', webhook, request))
    : null;
  return parts.database.transaction(async (tx) => {
    const decided = { ...row, ...verdictOf(readiness), taskId: null, workflowId: null };
    if (!(await insertDelivery(tx, decided))) {
      const first = await findDelivery(tx, decided);
      return { status: 200, body: repeated(first ?? decided) };
    }
    if (!readiness) return { status: 200, body: { status: 'ignored', id: row.id } };
    if ('refusal' in readiness) {
      await record(tx, parts, webhook, 'webhook.refused', request, { reason: readiness.refusal.reason });
      return { status: 422, body: { status: 'refused', id: row.id, reason: readiness.refusal.reason } };
    }
    const { launch, owner } = readiness;
    const started = await startLaunch(tx, parts, launch, {
      owner,
      name: runName(webhook.name, now),
      requestId: request,
    });
    await setStarted(tx, row.id, started);
    await record(tx, parts, webhook, 'webhook.started', request, { delivery: row.id, ...idsOf(started) });
    return { status: 202, body: { status: 'started', id: row.id, ...idsOf(started) } };
  });
}

/** The work, told of the event. What does not fit is a refusal, as it is for any other fault of the work. */
function prepared(parts: HookParts, webhook: Webhook, payload: unknown, readiness: Readiness): Readiness {
  if ('refusal' in readiness || webhook.rules.mapping.length === 0) return readiness;
  const marker = parts.randomness.bytes(16).toString('hex');
  try {
    return {
      ...readiness,
      launch: withEvent(parts.bounds.registry, readiness.launch, eventText(webhook.rules, payload, marker)),
    };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return { refusal: { reason: 'ContextError', message: error.message } };
  }
}

/** Before the transaction ends, `setStarted` says what a started one became. */
const verdictOf = (readiness: Readiness | null): Pick<WebhookDelivery, 'verdict' | 'reason' | 'message'> => {
  if (!readiness) return { verdict: 'ignored', reason: null, message: null };
  return 'refusal' in readiness
    ? { verdict: 'refused', ...readiness.refusal }
    : { verdict: 'started', reason: null, message: null };
};

const idsOf = ({ taskId, workflowId }: Started) => ({ task_id: taskId, workflow_id: workflowId });

const repeated = (first: WebhookDelivery) => ({
  status: 'repeated',
  id: first.id,
  task_id: first.taskId,
  workflow_id: first.workflowId,
});

function readPayload(body: Buffer): unknown {
  let payload: unknown;
  try {
    payload = JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    throw new ServiceError(
      'invalid',
      'malformed_json',
      'The body is no JSON. Set the content type of the webhook to application/json where it is sent.',
    );
  }
  checkText(payload);
  return payload;
}

const record = (
  tx: Transaction,
  parts: HookParts,
  webhook: Webhook,
  action: string,
  request: string,
  data: Readonly<Record<string, string | null>>,
): Promise<unknown> =>
  parts.audit.append(tx, {
    actor: 'service',
    action,
    target: { type: 'webhook', id: webhook.id },
    outcome: action === 'webhook.refused' ? 'denied' : 'success',
    ownerId: webhook.ownerId,
    organizationId: webhook.organizationId,
    requestId: request,
    data,
  });

const notProven = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'webhook_not_proven',
    'This request does not prove to come from who may send it. Check the name, the secret and the clock of the sender.',
  );

const idMissing = (): ServiceError =>
  new ServiceError(
    'invalid',
    'delivery_id_missing',
    'The request has no id, so a replay could not be told. Send X-GitHub-Delivery, Idempotency-Key or webhook-id.',
  );
