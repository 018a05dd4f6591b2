import { badUuid, forbidden, isUuid, notFound, ok, refuse, validationFailed, type Answer } from './answers.ts';

import { listOf, readObject, Refused, textOf, type Asked, type Fields, type SimulatedRoute } from './handler.ts';
import { may, names, tokenAllows, type Thing } from './rights.ts';
import { userOf } from './routes-users.ts';
import { searchWorkspaces } from './search.ts';
import { buildBody, workspaceBody } from './workspace-bodies.ts';
import {
  addBuild,
  isBuilding,
  isDeleted,
  type SimulatedBuild,
  type SimulatedWorkspace,
  type Transition,
  type World,
} from './world.ts';

const sharedActions = {
  use: ['read', 'ssh', 'application_connect', 'start', 'stop'],
  admin: ['read', 'ssh', 'application_connect', 'start', 'stop', 'update', 'share', 'delete'],
};

export function workspaceThing(asked: Pick<Asked, 'world' | 'caller'>, workspace: SimulatedWorkspace): Thing {
  const shared = workspace.shared.get(asked.caller.user.id);
  return {
    type: 'workspace',
    id: workspace.id,
    ownerId: workspace.ownerId,
    organizationId: asked.world.organization.id,
    ...(shared ? { granted: sharedActions[shared] } : {}),
  };
}

export const templateThing = (world: World, templateId: string): Thing => ({
  type: 'template',
  id: templateId,
  organizationId: world.organization.id,
});

/** What Coder's own query says when an allow list names single objects (recorded on 2.36.0). */
const ambiguous = 'pq: column reference "id" is ambiguous';

/** The workspace if the caller may read it and its template. */
function readable(asked: Asked, workspace: SimulatedWorkspace | undefined): SimulatedWorkspace {
  const { world, caller } = asked;
  if (!workspace || !may(world, caller, 'read', workspaceThing(asked, workspace))) throw new Refused(notFound());
  return workspace;
}

function whole(asked: Asked, workspace: SimulatedWorkspace): Answer {
  const { world, caller } = asked;
  if (names(caller.token, 'template'))
    return refuse(500, 'Internal error fetching workspace resources.', `get templates: ${ambiguous}`);
  if (!may(world, caller, 'read', templateThing(world, workspace.templateId))) return forbidden();
  return ok(workspaceBody(world, workspace));
}

function idOf(asked: Asked, name: string): string {
  const id = asked.path[name] ?? '';
  if (!isUuid(id)) throw new Refused(badUuid(id));
  return id;
}

const wantsDeleted = (asked: Asked): boolean => asked.query.get('include_deleted') === 'true';

export function getWorkspace(asked: Asked): Answer {
  const workspace = readable(asked, asked.world.workspaces.get(idOf(asked, 'workspace')));
  if (isDeleted(asked.world, workspace) && !wantsDeleted(asked))
    return refuse(
      410,
      `Workspace "${workspace.id}" was deleted, you can view this workspace by specifying '?include_deleted=true' and trying again.`,
    );
  return whole(asked, workspace);
}

export function getWorkspaceByName(asked: Asked): Answer {
  const { world } = asked;
  const owner = userOf(asked);
  const found = [...world.workspaces.values()].filter(
    (workspace) =>
      workspace.ownerId === owner.id &&
      workspace.name.toLowerCase() === asked.path['workspace']?.toLowerCase() &&
      (wantsDeleted(asked) || !isDeleted(world, workspace)),
  );
  return whole(asked, readable(asked, found.at(-1)));
}

export function listWorkspaces(asked: Asked): Answer {
  const { world, caller, query } = asked;
  for (const name of ['limit', 'offset']) {
    const text = query.get(name);
    if (text !== null && !/^\d+$/.test(text)) return badNumber(name, text);
  }
  const found = searchWorkspaces(world, caller.user, query.get('q') ?? '');
  if ('status' in found) return found;
  if (names(caller.token, 'workspace') || names(caller.token, 'template'))
    return refuse(500, 'Internal error fetching workspaces.', ambiguous);
  const visible = found.filter((workspace) => may(world, caller, 'read', workspaceThing(asked, workspace)));
  const sorted = visible.toSorted((one, other) => one.name.localeCompare(other.name));
  const offset = Number(query.get('offset') ?? 0);
  const limit = Number(query.get('limit') ?? 0) || sorted.length;
  const page = sorted.slice(offset, offset + limit);
  return ok({ workspaces: page.map((workspace) => workspaceBody(world, workspace)), count: sorted.length });
}

const badNumber = (field: string, text: string): Answer =>
  refuse(400, 'Query parameters have invalid values.', undefined, [
    {
      field,
      detail: `Query param "${field}" must be a valid 32-bit positive integer: strconv.ParseInt: parsing "${text}": invalid syntax`,
    },
  ]);

const transitions: readonly string[] = ['start', 'stop', 'delete'] satisfies readonly Transition[];
const buildReasons = ['', 'dashboard', 'cli', 'ssh_connection', 'vscode_connection', 'jetbrains_connection'];

export function createBuild(asked: Asked): Answer {
  const { world, caller } = asked;
  const workspace = readable(asked, world.workspaces.get(idOf(asked, 'workspace')));
  const body = readObject(asked, 'CreateWorkspaceBuildRequest');
  const transition = textOf(body, 'transition') as Transition;
  if (!transitions.includes(transition)) return validationFailed(['transition', 'oneof', transition]);
  const reason = textOf(body, 'reason');
  if (!buildReasons.includes(reason)) return validationFailed(['reason', 'oneof', reason]);
  if (isDeleted(world, workspace))
    return refuse(
      409,
      `Cannot ${transition} a deleted workspace!`,
      'This workspace has been deleted and cannot be modified.',
    );
  const refused =
    mayNotBuild(asked, workspace, transition, body) ?? badVersion(world, textOf(body, 'template_version_id'));
  if (refused) return refused;
  if (isBuilding(world, workspace))
    return refuse(409, 'A workspace build is already active.', 'A workspace build is already active.');
  const versionId = textOf(body, 'template_version_id');
  const onSuccess = body['on_success'] as Fields | undefined;
  const build = addBuild(world, workspace, {
    transition,
    initiatorId: caller.user.id,
    ...(versionId ? { versionId } : {}),
    ...(reason ? { reason } : {}),
    onSuccess: onSuccess ? (textOf(onSuccess, 'transition') as Transition) : null,
    parameters: Object.fromEntries(
      listOf(body, 'rich_parameter_values')
        .map((value) => (value ?? {}) as Fields)
        .map((one) => [textOf(one, 'name'), textOf(one, 'value')]),
    ),
  });
  return ok(buildBody(world, workspace, build, true), 201);
}

function mayNotBuild(asked: Asked, workspace: SimulatedWorkspace, transition: Transition, body: Fields): Answer | null {
  const { world, caller } = asked;
  if (!may(world, caller, transition, workspaceThing(asked, workspace)))
    return forbidden(`You do not have permission to ${transition} this workspace.`);
  const template = templateThing(world, workspace.templateId);
  if (body['orphan'] === true && !may(world, caller, 'update', template))
    return refuse(
      403,
      'Only template managers may provide custom state',
      'Only template managers may provide custom state',
    );
  const findsOwner = tokenAllows(caller.token, 'user', 'read') || tokenAllows(caller.token, 'owner_lookup', 'use');
  if (transition !== 'delete' && !findsOwner)
    return refuse(
      400,
      'Unable to validate parameters',
      'Failed to fetch workspace owner; Please check your permissions or the user may not exist.',
    );
  return null;
}

function badVersion(world: World, versionId: string): Answer | null {
  if (versionId === '' || world.versions.has(versionId)) return null;
  return refuse(
    400,
    'template version does not exist',
    `get template version ${versionId}: sql: no rows in result set`,
  );
}

function withBuild(asked: Asked, answer: (workspace: SimulatedWorkspace, build: SimulatedBuild) => Answer): Answer {
  const id = idOf(asked, 'workspacebuild');
  for (const workspace of asked.world.workspaces.values()) {
    const build = workspace.builds.find((one) => one.id === id);
    if (build) return answer(readable(asked, workspace), build);
  }
  return notFound();
}

export const getBuild = (asked: Asked): Answer =>
  withBuild(asked, (workspace, build) => ok(buildBody(asked.world, workspace, build)));

export const getBuildParameters = (asked: Asked): Answer =>
  withBuild(asked, (_workspace, { parameters }) =>
    ok(Object.entries(parameters).map(([name, value]) => ({ name, value }))),
  );

export const workspaceRoutes: readonly SimulatedRoute[] = [
  { method: 'GET', path: '/api/v2/users/{user}/workspace/{workspace}', handle: getWorkspaceByName },
  { method: 'GET', path: '/api/v2/workspaces', handle: listWorkspaces },
  { method: 'GET', path: '/api/v2/workspaces/{workspace}', handle: getWorkspace },
  { method: 'POST', path: '/api/v2/workspaces/{workspace}/builds', handle: createBuild },
  { method: 'GET', path: '/api/v2/workspacebuilds/{workspacebuild}', handle: getBuild },
  { method: 'GET', path: '/api/v2/workspacebuilds/{workspacebuild}/parameters', handle: getBuildParameters },
];
