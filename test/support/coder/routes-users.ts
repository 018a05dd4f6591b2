import { isUuid, nameTaken, notFound, ok, refuse } from './answers.ts';
import { organizationBody, userBody } from './bodies.ts';
import { listOf, notJson, readObject, Refused, textOf, type Asked, type SimulatedRoute } from './handler.ts';
import { isScope, may, type Thing } from './rights.ts';
import { mintKey, type SimulatedUser, type World } from './world.ts';

const asThing = (world: World, user: SimulatedUser): Thing => ({
  type: 'user',
  id: user.id,
  ownerId: user.id,
  organizationId: world.organization.id,
});

/** A user of a path: `me`, a name or an id. 404 unless the caller may read them. */
export function userOf(asked: Asked, action = 'read'): SimulatedUser {
  const { world, caller } = asked;
  const reference = asked.path['user'] ?? 'me';
  const user = reference === 'me' ? caller.user : findUser(world, reference);
  if (!user || (user !== caller.user && !may(world, caller, action, asThing(world, user))))
    throw new Refused(notFound());
  return user;
}

/** By id or name. */
export const findUser = (world: World, reference: string): SimulatedUser | undefined =>
  isUuid(reference)
    ? world.users.get(reference)
    : [...world.users.values()].find((user) => user.username === reference);

export function me({ world, caller }: Asked) {
  return may(world, caller, 'read', asThing(world, caller.user)) ? ok(userBody(world, caller.user)) : notFound();
}

export const oneUser = (asked: Asked) => ok(userBody(asked.world, userOf(asked)));

export function organizations({ world, caller }: Asked) {
  if (!may(world, caller, 'read', asThing(world, caller.user))) return notFound();
  const { id } = world.organization;
  const visible = may(world, caller, 'read', { type: 'organization', id, organizationId: id });
  return ok(visible ? [organizationBody(world)] : []);
}

/** The longest life a token may have, in nanoseconds: a hundred years. */
const longestLifetime = 3_155_760_000_000_000_000;
const defaultLifetimeMs = 30 * 24 * 3_600_000;
const legacyScopes: Readonly<Record<string, string>> = {
  '': 'coder:all',
  all: 'coder:all',
  application_connect: 'coder:application_connect',
};

export function createToken(asked: Asked) {
  const { world, caller } = asked;
  const user = userOf(asked);
  const body = readObject(asked, 'CreateTokenRequest');
  const allowList = listOf(body, 'allow_list').map(allowEntry);
  if (!may(world, caller, 'create', { type: 'api_key', ownerId: user.id }))
    return user === caller.user
      ? notFound()
      : refuse(500, 'Failed to create API key.', 'insert API key: unauthorized: rbac: forbidden');
  const lifetime = body['lifetime'];
  if (typeof lifetime === 'number' && lifetime > longestLifetime)
    return refuse(400, 'Failed to validate create API key request.', 'lifetime must be less than 876600h0m0s');
  if (typeof lifetime === 'number' && lifetime < 0)
    return refuse(400, 'Failed to validate create API key request.', 'lifetime must be positive number greater than 0');
  const scopes = listOf(body, 'scopes').map(String);
  // `all` is a word of the older field `scope`; in the list it passes the first check and fails the insert.
  if (scopes.includes('all'))
    return refuse(500, 'Failed to create API key.', 'generate API key: invalid API key scope: "all"');
  const unknown = scopes.find((scope) => !isScope(scope));
  if (unknown !== undefined)
    return refuse(400, 'Failed to create API key.', `invalid or unsupported API key scope: "${unknown}"`);
  const tokenName = textOf(body, 'token_name') || mintKey();
  if ([...world.tokens.values()].some((token) => token.userId === user.id && token.tokenName === tokenName))
    return nameTaken(`A token with name "${tokenName}" already exists.`);
  const key = mintKey();
  world.tokens.set(key, {
    key,
    userId: user.id,
    name: `${user.username}:${tokenName}`,
    tokenName,
    scopes: scopes.length > 0 ? scopes : [legacyScopes[textOf(body, 'scope')] ?? 'coder:all'],
    allowList: allowList.length > 0 ? allowList : ['*:*'],
    expiresAt: world.now() + (typeof lifetime === 'number' && lifetime > 0 ? lifetime / 1_000_000 : defaultLifetimeMs),
  });
  return ok({ key }, 201);
}

function allowEntry(entry: unknown): string {
  const text = String(entry);
  if (/^[a-z_*]+:[^:]+$/.test(text)) return text;
  throw notJson(`invalid allow_list entry ${JSON.stringify(entry)}: want <type>:<id>`);
}

export const userRoutes: readonly SimulatedRoute[] = [
  { method: 'GET', path: '/api/v2/users/me', handle: me },
  { method: 'GET', path: '/api/v2/users/{user}', handle: oneUser },
  { method: 'GET', path: '/api/v2/users/me/organizations', handle: organizations },
  { method: 'POST', path: '/api/v2/users/{user}/keys/tokens', handle: createToken },
];
