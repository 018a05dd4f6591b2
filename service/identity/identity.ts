import type { Request, Response } from 'express';
import type { Actor } from '../../modules/contract.ts';
import type { Coder } from '../coder/coder.ts';
import type { Clock } from '../platform/clock.ts';
import { hashToken } from '../platform/clock.ts';
import { ServiceError } from '../platform/errors.ts';
import { requestId } from '../platform/http.ts';

/** Who is calling, with the token that lets us ask Coder what they may do. */
export interface Caller {
  readonly actor: Actor;
  /** For the commits made on their behalf. */
  readonly commitIdentity: { readonly name: string; readonly email: string };
  /** Lives as long as the request; never stored, never logged. */
  readonly token: string;
}

export interface Identity {
  /** Asks Coder whose token the request carries. Throws `unauthenticated`. */
  authenticate(request: Request, response: Response): Promise<Caller>;
  /** The same for a request that is to become a WebSocket. */
  callerFor(request: { readonly headers: Request['headers'] }, requestId: string): Promise<Caller>;
}

type Known = Omit<Caller, 'token'>;

/** How long an answer of Coder is believed: short, so that a revoked token ends soon. */
const believeMs = 5_000;
const maxRemembered = 10_000;

export function makeIdentity(options: { coder: Coder; clock: Clock }): Identity {
  const { coder, clock } = options;
  const remembered = new Map<string, { known: Known; until: number }>();

  async function actorOf(token: string, id: string): Promise<Known> {
    const key = hashToken(token).toString('base64');
    const now = clock.now().getTime();
    const entry = remembered.get(key);
    if (entry && entry.until > now) return entry.known;
    const user = await coder.whoIs(token, { actor: 'service', requestId: id });
    const known: Known = {
      actor: { id: user.id, name: user.username, organizationIds: user.organizationIds },
      commitIdentity: { name: user.name || user.username, email: user.email },
    };
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(key, { known, until: now + believeMs });
    return known;
  }

  const callerFor: Identity['callerFor'] = async (request, id) => {
    const token = bearerOf(request);
    if (token === undefined) throw missingToken();
    return { token, ...(await actorOf(token, id)) };
  };
  return { callerFor, authenticate: (request, response) => callerFor(request, requestId(response)) };
}

/** The token a request carries: `Coder-Session-Token`, `Authorization: Bearer`, or the alias `X-API-KEY`. */
export function bearerOf(request: { headers: Request['headers'] }): string | undefined {
  const direct = request.headers['coder-session-token'] ?? request.headers['x-api-key'];
  if (typeof direct === 'string' && direct !== '') return direct;
  const match = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '');
  return match?.[1];
}

export const missingToken = (): ServiceError =>
  new ServiceError(
    'unauthenticated',
    'token_missing',
    'This route needs a token. Send Coder-Session-Token, or Authorization: Bearer.',
  );

/** The caller that `server.ts` put on the response before the handler ran. */
export function callerOf(response: Response): Caller {
  const caller = response.locals['caller'] as Caller | undefined;
  if (!caller) throw new ServiceError('internal', 'caller_missing', 'A guarded route ran without its guard.');
  return caller;
}
