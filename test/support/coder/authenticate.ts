import type { IncomingHttpHeaders } from 'node:http';
import { refuse, type Answer } from './answers.ts';
import { Refused } from './handler.ts';
import type { Caller } from './rights.ts';
import type { World } from './world.ts';

const cookieName = 'coder_session_token';
const signedOut = 'You are signed out or your session has expired. Please sign in again to continue.';

/** Tokens a request carries, by place. A cookie beats the header: that is Coder's order. */
function carried(headers: IncomingHttpHeaders, query: URLSearchParams) {
  const header = headers['coder-session-token'];
  return {
    cookie: cookieOf(headers.cookie),
    query: query.get(cookieName) ?? undefined,
    header: typeof header === 'string' ? header : undefined,
    bearer: /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1],
    accessToken: query.get('access_token') ?? undefined,
  };
}

function cookieOf(cookies: string | undefined): string | undefined {
  for (const cookie of (cookies ?? '').split(';')) {
    const [name, value] = cookie.trim().split('=');
    if (name === cookieName && value) return value;
  }
  return undefined;
}

/** Who calls; refused with 401 when it is nobody. */
export function authenticate(world: World, headers: IncomingHttpHeaders, query: URLSearchParams): Caller {
  const tokens = carried(headers, query);
  const key = tokens.cookie ?? tokens.query ?? tokens.header ?? tokens.bearer ?? tokens.accessToken;
  if (!key) throw unauthenticated(`Cookie "${cookieName}" or query parameter must be provided.`);
  const parts = key.split('-');
  if (parts.length !== 2)
    throw unauthenticated(`Invalid API key format: incorrect amount of API key parts, expected 2 got ${parts.length}`);
  const [id = '', secret = ''] = parts;
  if (id.length !== 10 || secret.length !== 22)
    throw unauthenticated('Invalid API key format: invalid API key ID length');
  const token = [...world.tokens.values()].find((one) => one.key.startsWith(`${id}-`));
  if (!token) throw unauthenticated('API key is invalid.');
  if (token.key !== key) throw unauthenticated('API key secret is invalid.');
  if (token.expiresAt <= world.now())
    throw unauthenticated(
      `API key expired at "${new Date(token.expiresAt).toISOString().replace('T', ' ').replace('Z', ' +0000 UTC')}".`,
    );
  const user = world.users.get(token.userId);
  if (!user) throw unauthenticated('API key is invalid.');
  if (user.suspended)
    throw new Refused(
      refuse(401, 'User is not active (status = "suspended"). Contact an admin to reactivate your account.'),
    );
  return { user, token };
}

const unauthenticated = (detail: string): Refused => new Refused(refuse(401, signedOut, detail));

/** Coder's guard against forged requests: plain text, before anything else is looked at. */
export function crossSite(method: string, headers: IncomingHttpHeaders, query: URLSearchParams): Answer | null {
  const { cookie, header, bearer } = carried(headers, query);
  if (method === 'GET' || cookie === undefined || bearer !== undefined || header === cookie) return null;
  const text =
    header === undefined
      ? 'Something is wrong with your CSRF token. Please refresh the page. If this error persists, try clearing your cookies.\n'
      : 'CSRF error encountered. Authentication via "coder_session_token" cookie and "Coder-Session-Token" header detected, but the values do not match. To resolve this issue ensure the values used in both match, or only use one of the authentication methods. You can also try clearing your cookies if this error persists.\n';
  return { status: 400, text };
}
