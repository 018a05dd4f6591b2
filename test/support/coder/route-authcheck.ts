import { isUuid, ok, refuse, type Answer } from './answers.ts';
import { readObject, Refused, textOf, type Asked, type Fields, type SimulatedRoute } from './handler.ts';
import { may, type Thing } from './rights.ts';
import { templateThing, workspaceThing } from './routes-workspaces.ts';

/** Objects with an id per request; one more is refused. */
const mostIds = 10;

export function authCheck(asked: Asked): Answer {
  const body = readObject(asked, 'AuthorizationRequest');
  const checks = Object.entries((body['checks'] ?? {}) as Readonly<Record<string, Fields>>);
  const withId = checks.filter(([, check]) => textOf(objectOf(check), 'resource_id') !== '').length;
  if (withId > mostIds)
    return refuse(
      400,
      `Endpoint only supports using "resource_id" field ${mostIds} times, found ${withId} usages. Remove ${withId - mostIds} objects with this field set.`,
    );
  return ok(Object.fromEntries(checks.map(([key, check]) => [key, decide(asked, key, check)])));
}

const objectOf = (check: Fields): Fields => (check['object'] ?? {}) as Fields;

function decide(asked: Asked, key: string, check: Fields): boolean {
  const thing = thingOf(asked, key, objectOf(check));
  return thing !== null && may(asked.world, asked.caller, textOf(check, 'action'), thing);
}

/** The object of a check; null when an id is given that leads nowhere. The id decides over everything beside it. */
function thingOf(asked: Asked, key: string, object: Fields): Thing | null {
  const { world, caller } = asked;
  const type = textOf(object, 'resource_type');
  if (type === '') throw new Refused(refuse(400, `Object's "resource_type" field must be defined for key "${key}".`));
  const id = textOf(object, 'resource_id');
  if (id !== '') return thingById(asked, type, id);
  const owner = textOf(object, 'owner_id');
  return {
    type,
    ...(owner === '' ? {} : { ownerId: owner === 'me' ? caller.user.id : owner }),
    organizationId: textOf(object, 'organization_id') || (owner === '' ? '' : world.organization.id),
    anyOrganization: object['any_org'] === true,
  };
}

function thingById(asked: Asked, type: string, id: string): Thing | null {
  const { world } = asked;
  if (!isUuid(id))
    throw new Refused(
      refuse(400, `Object "${id}" id is not a valid uuid.`, undefined, [
        { field: 'resource_id', detail: `invalid UUID length: ${id.length}` },
      ]),
    );
  const workspace = world.workspaces.get(id);
  if (type === 'workspace') return workspace ? workspaceThing(asked, workspace) : null;
  if (type === 'template') return world.templates.has(id) ? templateThing(world, id) : null;
  if (type === 'user')
    return world.users.has(id) ? { type, id, ownerId: id, organizationId: world.organization.id } : null;
  throw new Refused(refuse(400, `Object type "${type}" does not support "resource_id" field.`));
}

export const authCheckRoute: SimulatedRoute = { method: 'POST', path: '/api/v2/authcheck', handle: authCheck };
