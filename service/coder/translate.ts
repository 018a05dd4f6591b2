import { CoderError, type CoderErrorKind } from 'coder-sdk-ts';
import { ServiceError, type ErrorKind } from '../platform/errors.ts';

/** Whose token the call carried: the caller's own, or the service's. */
export type TokenOwner = 'caller' | 'service';

interface Translation {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message: string;
}

const unavailable = (message: string): Translation => ({ kind: 'unavailable', code: 'coder_unavailable', message });

/** The one table from what Coder answered to what our caller is told. */
const translations: Readonly<Record<CoderErrorKind, Translation>> = {
  unauthenticated: {
    kind: 'unauthenticated',
    code: 'coder_token_refused',
    message:
      'Coder does not accept this token: it is wrong, expired or revoked. Sign in to Coder again and send a new one.',
  },
  forbidden: {
    kind: 'forbidden',
    code: 'coder_forbidden',
    message: 'Coder does not allow this with your token. Ask for the right in Coder, or use a token with more scopes.',
  },
  not_found: {
    kind: 'not_found',
    code: 'not_found',
    message: 'Coder does not know this, or you may not see it. Check the name.',
  },
  gone: { kind: 'not_found', code: 'not_found', message: 'This was deleted in Coder. Name another one.' },
  conflict: {
    kind: 'conflict',
    code: 'coder_conflict',
    message: 'Coder is busy with another change of the same thing. Try again when it has ended.',
  },
  invalid: {
    kind: 'invalid',
    code: 'coder_rejected',
    message: 'Coder rejected the request. See errors[] for the fields it names.',
  },
  too_early: unavailable('Coder is still preparing this. Try again shortly.'),
  rate_limited: {
    kind: 'rate_limited',
    code: 'coder_rate_limited',
    message: 'Coder limits how often this may be asked. Try again later.',
  },
  failed: unavailable('Coder failed to answer. Try again; if it stays, look at the log of Coder.'),
  unavailable: unavailable('Coder is not available at the moment. Try again shortly.'),
  unreachable: unavailable('Coder cannot be reached. Try again shortly; if it stays, check CODER_URL and the network.'),
  timeout: unavailable('Coder did not answer in time. Try again shortly.'),
  unexpected_answer: {
    kind: 'unavailable',
    code: 'coder_unexpected_answer',
    message:
      'Coder answered in a way we do not understand. Check that CODER_URL is the access URL of a supported Coder.',
  },
};

/** A refusal of the service's own token is our operator's business, not the caller's. */
const serviceTokenRefused: Translation = {
  kind: 'unavailable',
  code: 'service_token_refused',
  message: "Coder refuses the service's own token. Whoever runs the service must renew OUTRIGGER_CODER_TOKEN.",
};

/** Kinds after which the deployment, not the request, is in doubt: they open the breaker. */
const outage: ReadonlySet<CoderErrorKind> = new Set(['unavailable', 'unreachable', 'timeout']);
export const isOutage = (error: unknown): boolean => error instanceof CoderError && outage.has(error.kind);

/** Kinds that an immediate second try may cure. A timeout is not one: it has used its time already. */
const cured: ReadonlySet<CoderErrorKind> = new Set(['unavailable', 'unreachable']);
export const isWorthRetrying = (error: unknown): boolean => error instanceof CoderError && cured.has(error.kind);

export function toServiceError(error: CoderError, tokenOwner: TokenOwner): ServiceError {
  const refusedUs = tokenOwner === 'service' && (error.kind === 'unauthenticated' || error.kind === 'forbidden');
  const { kind, code, message } = refusedUs ? serviceTokenRefused : translations[error.kind];
  return new ServiceError(kind, code, message, {
    cause: error,
    errors: error.validations.map(({ field, detail }) => ({ path: field, message: detail })),
    ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
  });
}

export const breakerOpen = (cause: unknown): ServiceError =>
  new ServiceError(
    'unavailable',
    'coder_unavailable',
    'Coder did not answer several times in a row, so it is left alone for some seconds. Try again shortly.',
    { cause, retryAfterSeconds: 10 },
  );

/** Coder answers 404 on `users/me` when the token lacks `user:read`; a bad token is 401. */
export const scopeMissing = (cause: unknown, scope: string): ServiceError =>
  new ServiceError(
    'forbidden',
    'scope_missing',
    `This token may not do that: it lacks the scope ${scope}. Create one with the scopes coder:workspaces.create and user:read.`,
    { cause },
  );
