import type { Role, SimulatedToken, SimulatedUser, World } from './world.ts';

/** Something an action is about. `id` matters to a token's allow list only. */
export interface Thing {
  readonly type: string;
  readonly id?: string;
  readonly ownerId?: string;
  readonly organizationId?: string;
  readonly anyOrganization?: boolean;
  /** Actions this thing's owner granted to the caller. */
  readonly granted?: readonly string[];
}

export interface Caller {
  readonly user: SimulatedUser;
  readonly token: SimulatedToken;
}

type Actions = '*' | readonly string[];
interface Grant {
  readonly type: string;
  readonly actions: Actions;
  readonly extent: 'site' | 'organization' | 'own';
}

const grant = (extent: Grant['extent'], type: string, actions: Actions): Grant => ({ extent, type, actions });

/** What exists; anything else is false for everyone, as `authcheck` has it. */
const knownActions: Readonly<Record<string, readonly string[]>> = {
  workspace: ['read', 'create', 'update', 'delete', 'start', 'stop', 'ssh', 'application_connect', 'share'],
  template: ['read', 'use', 'create', 'update', 'delete'],
  file: ['read', 'create'],
  user: ['read', 'create', 'update', 'delete', 'read_personal', 'update_personal'],
  organization: ['read', 'update', 'delete', 'create'],
  organization_member: ['read', 'create', 'update', 'delete'],
  api_key: ['read', 'create', 'update', 'delete'],
  audit_log: ['read', 'create'],
  deployment_config: ['read', 'update'],
};

const roleGrants: Readonly<Record<Role, readonly Grant[]>> = {
  member: [
    grant('own', 'workspace', '*'),
    grant('own', 'user', ['read', 'update', 'read_personal', 'update_personal']),
    grant('own', 'api_key', '*'),
    grant('own', 'file', '*'),
    grant('organization', 'template', ['read', 'use']),
    grant('organization', 'organization', ['read']),
    grant('organization', 'organization_member', ['read']),
  ],
  owner: Object.keys(knownActions).map((type) => grant('site', type, '*')),
  'template-admin': [
    grant('site', 'template', '*'),
    grant('site', 'file', '*'),
    grant('site', 'workspace', ['read']),
    grant('site', 'user', ['read']),
    grant('site', 'organization', ['read']),
  ],
  'user-admin': [grant('site', 'user', '*')],
  auditor: [
    grant('site', 'audit_log', ['read']),
    grant('site', 'user', ['read']),
    grant('site', 'deployment_config', ['read']),
  ],
  'organization-admin': [
    grant('organization', 'workspace', ['read', 'create', 'update', 'delete', 'start', 'stop', 'share']),
    grant('organization', 'template', '*'),
    grant('organization', 'file', '*'),
    grant('organization', 'organization', '*'),
    grant('organization', 'organization_member', '*'),
    grant('site', 'user', ['read']),
  ],
  'organization-template-admin': [
    grant('organization', 'workspace', ['read']),
    grant('organization', 'template', '*'),
    grant('organization', 'file', '*'),
  ],
};

export type TokenScope = string;
type ScopeGrants = Readonly<Record<string, Actions>>;

/**
 * Scopes made of several rights.
 *
 * `owner_lookup` is no right of Coder's: it stands for what lets a build find the owner of its workspace,
 * which these scopes bring along and the single `workspace:start` does not (recorded).
 */
const composites: Readonly<Record<string, ScopeGrants>> = {
  'coder:workspaces.create': {
    template: ['read', 'use'],
    workspace: ['create', 'read', 'update', 'start', 'stop'],
    owner_lookup: '*',
  },
  'coder:workspaces.operate': { template: ['read'], workspace: ['read', 'update', 'start', 'stop'], owner_lookup: '*' },
  'coder:workspaces.delete': { template: ['read', 'use'], workspace: ['read', 'delete'], owner_lookup: '*' },
  'coder:workspaces.access': { template: ['read'], workspace: ['read', 'ssh', 'application_connect'] },
  'coder:templates.build': { template: ['read'], file: ['create', 'read'] },
  'coder:templates.author': { template: '*', file: ['create', 'read'] },
  'coder:apikeys.manage_self': { api_key: '*' },
  'coder:application_connect': { workspace: ['application_connect'] },
};

const single: Readonly<Record<string, readonly string[]>> = {
  workspace: ['*', 'read', 'create', 'update', 'delete', 'ssh', 'start', 'stop', 'application_connect'],
  template: ['*', 'read', 'create', 'update', 'delete', 'use'],
  user: ['*', 'read', 'read_personal', 'update_personal'],
  organization: ['*', 'read', 'update', 'delete'],
  file: ['*', 'read', 'create'],
  api_key: ['*', 'read', 'create', 'update', 'delete'],
  user_secret: ['*', 'read', 'create', 'update', 'delete'],
  user_skill: ['*', 'read', 'create', 'update', 'delete'],
  task: ['*', 'read', 'create', 'update', 'delete'],
};

/** Whether users may ask for this scope. */
export function isScope(scope: string): boolean {
  const [type = '', action = ''] = scope.split(':');
  return scope === 'coder:all' || scope in composites || (single[type]?.includes(action) ?? false);
}

const covers = (actions: Actions | undefined, action: string): boolean =>
  actions !== undefined && (actions === '*' || actions.includes(action));

function scopeAllows(scope: TokenScope, type: string, action: string): boolean {
  if (scope === 'coder:all') return true;
  if (scope in composites) return covers(composites[scope]?.[type], action);
  return scope === `${type}:${action}` || scope === `${type}:*`;
}

export const tokenAllows = (token: SimulatedToken, type: string, action: string): boolean =>
  token.scopes.some((scope) => scopeAllows(scope, type, action));

const listAllows = (token: SimulatedToken, thing: Thing): boolean =>
  token.allowList.some((entry) => {
    const [type, id] = entry.split(':');
    return (type === '*' || type === thing.type) && (id === '*' || (id !== undefined && id === thing.id));
  });

/** True when the allow list names single workspaces or templates; such a list breaks some of Coder's queries. */
export const names = (token: SimulatedToken, type: string): boolean =>
  token.allowList.some((entry) => entry.startsWith(`${type}:`) && entry !== `${type}:*`);

function roleAllows(world: World, user: SimulatedUser, role: Role, action: string, thing: Thing): boolean {
  const inOrganization = thing.anyOrganization === true || thing.organizationId === world.organization.id;
  const reaches = { site: true, organization: inOrganization, own: thing.ownerId === user.id };
  return roleGrants[role].some((one) => one.type === thing.type && covers(one.actions, action) && reaches[one.extent]);
}

/** Whether the calling token may do this: its user's roles, then its scopes, then its allow list. */
export function may(world: World, caller: Caller, action: string, thing: Thing): boolean {
  if (!knownActions[thing.type]?.includes(action)) return false;
  const roles: readonly Role[] = ['member', ...caller.user.roles];
  const byRole = roles.some((role) => roleAllows(world, caller.user, role, action, thing));
  if (!byRole && thing.granted?.includes(action) !== true) return false;
  return tokenAllows(caller.token, thing.type, action) && listAllows(caller.token, thing);
}
