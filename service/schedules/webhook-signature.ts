import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export const webhookKinds = ['github', 'gitlab', 'generic'] as const;
export type WebhookKind = (typeof webhookKinds)[number];

/** One header of a request, by its name in lower case; undefined where it is not there. */
export type HeaderOf = (name: string) => string | undefined;

/** What an authentic request says of itself. */
export interface Delivery {
  /** Null where the sender gave none. */
  readonly id: string | null;
  /** What cannot be changed without the secret: a request with the same one is the same delivery. */
  readonly fingerprint: string;
  readonly event: string | null;
}

/** How far the sender's clock may be from ours, either way. */
export const windowMs = 5 * 60_000;

interface Signed {
  readonly secret: string;
  readonly header: HeaderOf;
  readonly body: Buffer;
  readonly now: Date;
}

interface Scheme {
  readonly isAuthentic: (request: Signed) => boolean;
  readonly describe: (request: Signed) => Delivery;
}

/**
 * github   `X-Hub-Signature-256` over the body. The delivery's id is not signed, so the body itself tells a replay.
 * gitlab   `X-Gitlab-Token` is the secret itself; `Idempotency-Key` stays the same when GitLab tries again.
 * generic  `webhook-signature` over `id.timestamp.body`, as Standard Webhooks has it; the key is the secret's own text.
 *
 * Source: docs.github.com "Validating webhook deliveries"; docs.gitlab.com "Webhooks"; standardwebhooks.com
 */
const schemes: Readonly<Record<WebhookKind, Scheme>> = {
  github: {
    isAuthentic: ({ secret, header, body }) =>
      isEqual(header('x-hub-signature-256') ?? '', `sha256=${hmac(secret, body).toString('hex')}`),
    describe: ({ header, body }) => ({
      id: idIn(header('x-github-delivery')),
      fingerprint: createHash('sha256').update(body).digest('hex'),
      event: header('x-github-event') ?? null,
    }),
  },
  gitlab: {
    isAuthentic: ({ secret, header, body }) => {
      hmac(secret, body);
      return isEqual(header('x-gitlab-token') ?? '', secret);
    },
    describe: ({ header }) => {
      const id = idIn(header('idempotency-key') ?? header('x-gitlab-event-uuid'));
      return { id, fingerprint: id ?? '', event: header('x-gitlab-event') ?? null };
    },
  },
  generic: {
    isAuthentic: ({ secret, header, body, now }) => {
      const timestamp = header('webhook-timestamp') ?? '';
      const signed = Buffer.concat([Buffer.from(`${header('webhook-id') ?? ''}.${timestamp}.`), body]);
      const expected = `v1,${hmac(secret, signed).toString('base64')}`;
      const given = (header('webhook-signature') ?? '').split(' ').slice(0, 10);
      const isSigned = given.map((one) => isEqual(one, expected)).includes(true);
      return isSigned && isRecent(timestamp, now);
    },
    describe: ({ header }) => {
      const id = idIn(header('webhook-id'));
      return { id, fingerprint: id ?? '', event: null };
    },
  },
};

/** What a request is, or null where it does not carry the secret's proof. Takes the same time for every wrong proof. */
export function authenticate(kind: WebhookKind, request: Signed): Delivery | null {
  const { isAuthentic, describe } = schemes[kind];
  return isAuthentic(request) ? describe(request) : null;
}

/** The kind that a request looks like: what is computed for a name that nobody has. */
export const kindLike = (header: HeaderOf): WebhookKind =>
  header('x-hub-signature-256') !== undefined
    ? 'github'
    : header('x-gitlab-token') !== undefined
      ? 'gitlab'
      : 'generic';

const hmac = (secret: string, body: Buffer): Buffer => createHmac('sha256', secret).update(body).digest();

/** In the same time for all texts of one length, and for all lengths nearly so. */
const isEqual = (left: string, right: string): boolean =>
  timingSafeEqual(createHash('sha256').update(left).digest(), createHash('sha256').update(right).digest());

const isRecent = (timestamp: string, now: Date): boolean =>
  /^\d{1,12}$/.test(timestamp) && Math.abs(Number(timestamp) * 1_000 - now.getTime()) <= windowMs;

const idIn = (text: string | undefined): string | null =>
  text !== undefined && /^[\x21-\x7e]{1,200}$/.test(text) ? text : null;
