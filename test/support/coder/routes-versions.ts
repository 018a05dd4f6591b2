import { isUuid, notFound, ok, refuse, type Answer } from './answers.ts';
import { templateBody } from './bodies.ts';
import { emptyForm, formBody, notImported, ownerNotFound, presetBodies } from './form.ts';
import { notJson, readObject, textOf, type Asked, type SimulatedRoute } from './handler.ts';
import { importLogs } from './job-logs.ts';
import { may } from './rights.ts';
import { readableVersion } from './routes-templates.ts';
import { templateThing } from './routes-workspaces.ts';
import { isActive, phaseOf } from './timeline.ts';

/** What is asked about versions and templates, and changes nothing. */

export function downloadFile({ world, caller, path }: Asked): Answer {
  const file = world.files.get(path['file'] ?? '');
  const organizationId = world.organization.id;
  if (!file || !may(world, caller, 'read', { type: 'file', ownerId: file.ownerId, organizationId })) return notFound();
  return { status: 200, bytes: file.bytes, headers: { 'Content-Type': 'application/x-tar' } };
}

export function getVersionLogs(asked: Asked): Answer {
  const version = readableVersion(asked);
  const after = Number(asked.query.get('after') ?? 0);
  return ok(importLogs(asked.world, version).filter(({ id }) => id > after));
}

export function getVersionPresets(asked: Asked): Answer {
  const version = readableVersion(asked);
  const done = phaseOf(version, asked.world.now()).job === 'succeeded';
  return ok(done ? presetBodies(version.form ?? emptyForm) : null);
}

export function evaluateForm(asked: Asked): Answer {
  const version = readableVersion(asked);
  const phase = phaseOf(version, asked.world.now());
  if (isActive(phase)) return refuse(425, 'Template version job has not finished');
  const body = readObject(asked, 'DynamicParametersRequest');
  const inputs = (body['inputs'] ?? {}) as Readonly<Record<string, string>>;
  const wrong = Object.values(inputs).find((value: unknown) => typeof value !== 'string');
  if (wrong !== undefined)
    throw notJson(
      `json: cannot unmarshal ${typeof wrong} into Go struct field DynamicParametersRequest.inputs of type string`,
    );
  if (phase.job !== 'succeeded') return ok(notImported);
  const owner = textOf(body, 'owner_id');
  if (!isUuid(owner) || !asked.world.users.has(owner)) return ok(ownerNotFound);
  return ok(formBody(version.form ?? emptyForm, inputs));
}

const terms: readonly string[] = ['exact_name', 'name', 'organization', 'deprecated'];

export function listTemplates({ world, caller, query }: Asked): Answer {
  const asked = (query.get('q') ?? '').split(' ').filter(Boolean);
  const unknown = asked.map((term) => term.split(':')[0] ?? '').find((name) => !terms.includes(name));
  if (unknown !== undefined)
    return refuse(400, 'Invalid template search query.', undefined, [
      { field: unknown, detail: `"${unknown}" is not a valid query param` },
    ]);
  const exact = asked.find((term) => term.startsWith('exact_name:'))?.slice('exact_name:'.length);
  const visible = [...world.templates.values()]
    .filter(({ id, name }) => may(world, caller, 'read', templateThing(world, id)) && (exact ?? name) === name)
    .sort((one, other) => one.name.localeCompare(other.name));
  return ok(visible.map((template) => templateBody(world, template)));
}

const version = '/api/v2/templateversions/{templateversion}';
export const versionRoutes: readonly SimulatedRoute[] = [
  { method: 'GET', path: '/api/v2/files/{file}', handle: downloadFile },
  { method: 'GET', path: `${version}/logs`, handle: getVersionLogs },
  { method: 'GET', path: `${version}/presets`, handle: getVersionPresets },
  { method: 'POST', path: `${version}/dynamic-parameters/evaluate`, handle: evaluateForm },
  { method: 'GET', path: '/api/v2/templates', handle: listTemplates },
];
