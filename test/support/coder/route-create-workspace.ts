import { randomUUID } from 'node:crypto';
import { nameTaken, notFound, ok, refuse, validationFailed, type Answer, noId } from './answers.ts';
import { emptyForm, formBody, type SimulatedForm } from './form.ts';
import {
  listOf,
  notJson,
  readObject,
  Refused,
  textOf,
  type Asked,
  type Fields,
  type SimulatedRoute,
} from './handler.ts';
import { may, tokenAllows } from './rights.ts';
import { findUser } from './routes-users.ts';
import { buildBody, workspaceBody } from './workspace-bodies.ts';
import { addBuild, isDeleted, type SimulatedUser, type SimulatedVersion, type World } from './world.ts';

const workspaceName = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/;
const minute = 60_000;

function createWorkspace(asked: Asked): Answer {
  const { world, caller } = asked;
  const owner = ownerOf(asked);
  const body = readObject(asked, 'CreateWorkspaceRequest');
  const version = versionOf(world, body);
  const refused = mayNot(asked, owner) ?? badTimes(body) ?? taken(world, owner, textOf(body, 'name'));
  if (refused) return refused;
  const parameters = chosen(body, version.form ?? emptyForm);
  const workspace = {
    id: randomUUID(),
    name: textOf(body, 'name'),
    ownerId: owner.id,
    templateId: version.templateId ?? noId,
    createdAt: world.now(),
    ttlMs: typeof body['ttl_ms'] === 'number' ? body['ttl_ms'] : null,
    shared: new Map<string, 'use' | 'admin'>(),
    builds: [],
  };
  world.workspaces.set(workspace.id, workspace);
  const start = { transition: 'start', initiatorId: caller.user.id, versionId: version.id, parameters } as const;
  const build = addBuild(world, workspace, start);
  return ok({ ...workspaceBody(world, workspace), latest_build: buildBody(world, workspace, build, true) }, 201);
}

/** Recorded: a token that could not read its own user's account still finds it where its scope brings that along. */
function ownerOf({ world, caller, path }: Asked): SimulatedUser {
  const findsOwner = tokenAllows(caller.token, 'user', 'read') || tokenAllows(caller.token, 'owner_lookup', 'use');
  const reference = path['user'] ?? 'me';
  const user = reference === 'me' ? caller.user : findUser(world, reference);
  if (!findsOwner || !user) throw new Refused(notFound());
  return user;
}

function versionOf(world: World, body: Fields): SimulatedVersion {
  const { name } = body;
  if (name !== undefined && typeof name !== 'string')
    throw notJson(
      `json: cannot unmarshal ${typeof name} into Go struct field CreateWorkspaceRequest.name of type string`,
    );
  const [templateId, versionId] = [textOf(body, 'template_id'), textOf(body, 'template_version_id')];
  if (name === undefined || name.length > 32 || !workspaceName.test(name))
    throw new Refused(validationFailed(['name', 'workspace_name', name ?? '']));
  if (templateId === '' && versionId === '')
    throw new Refused(
      validationFailed(['template_id', 'required_without', noId], ['template_version_id', 'required_without', noId]),
    );
  const template = world.templates.get(templateId || (world.versions.get(versionId)?.templateId ?? ''));
  const version = world.versions.get(versionId || (template?.activeVersionId ?? ''));
  if (template === undefined || version === undefined)
    throw new Refused(
      refuse(400, `Template "${templateId}" doesn't exist.`, undefined, [
        { field: 'template_id', detail: 'template not found' },
      ]),
    );
  return version;
}

function mayNot({ world, caller }: Asked, owner: SimulatedUser): Answer | null {
  const thing = { type: 'workspace', ownerId: owner.id, organizationId: world.organization.id };
  if (may(world, caller, 'create', thing)) return null;
  return refuse(
    403,
    'Unauthorized to create workspace.',
    'You are unable to create a workspace in this organization. It is possible to have access to the template, but not be able to create a workspace. Please contact an administrator about your permissions if you feel this is an error.',
  );
}

function badTimes(body: Fields): Answer | null {
  const { ttl_ms: ttl, autostart_schedule: schedule } = body;
  if (typeof schedule === 'string' && schedule.replace(/^CRON_TZ=\S+ /, '').split(' ').length !== 5)
    return refuse(400, 'Invalid Autostart Schedule.', undefined, [
      {
        field: 'schedule',
        detail:
          'validate weekly schedule: expected schedule to consist of 5 fields with an optional CRON_TZ=<timezone> prefix',
      },
    ]);
  if (typeof ttl === 'number' && ttl < minute)
    return refuse(400, 'Invalid Workspace Time to Shutdown.', undefined, [
      { field: 'ttl_ms', detail: 'time until shutdown must be at least one minute' },
    ]);
  return null;
}

function taken(world: World, owner: SimulatedUser, name: string): Answer | null {
  const isTaken = [...world.workspaces.values()].some(
    (one) => one.ownerId === owner.id && one.name.toLowerCase() === name.toLowerCase() && !isDeleted(world, one),
  );
  return isTaken ? nameTaken(`Workspace "${name}" already exists.`) : null;
}

/** What the owner chose, over what the preset says; parameters that the template does not have are kept, as in Coder. */
function chosen(body: Fields, form: SimulatedForm): Readonly<Record<string, string>> {
  const presetId = textOf(body, 'template_version_preset_id');
  const preset = form.presets.find(({ id }) => id === presetId);
  if (presetId !== '' && preset === undefined)
    throw new Refused(
      refuse(
        500,
        'failed to fetch preset parameter values',
        'failed to get preset parameters: sql: no rows in result set',
      ),
    );
  const given = listOf(body, 'rich_parameter_values').map((one) => (one ?? {}) as Fields);
  const inputs = {
    ...Object.fromEntries(given.map((one) => [textOf(one, 'name'), textOf(one, 'value')])),
    ...preset?.parameters,
  };
  const faults = formBody(form, inputs).parameters.flatMap(({ name, diagnostics }) =>
    diagnostics.map(({ summary, detail }) => ({ field: name, detail: `${summary}; ${detail}` })),
  );
  if (faults.length === 0) return inputs;
  const sorted = faults.toSorted((one, other) => one.field.localeCompare(other.field));
  throw new Refused(refuse(400, 'Unable to validate parameters', undefined, sorted));
}

export const createWorkspaceRoute: SimulatedRoute = {
  method: 'POST',
  path: '/api/v2/users/{user}/workspaces',
  handle: createWorkspace,
};
