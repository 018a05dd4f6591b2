import { createHash, randomUUID } from 'node:crypto';
import { badUuid, isUuid, nameTaken, noId, notFound, ok, refuse, validationFailed, type Answer } from './answers.ts';
import { filesOf, importEnds, sensitiveVariables } from './archive.ts';
import { templateBody, versionBody } from './bodies.ts';
import { listOf, readObject, Refused, textOf, type Asked, type Fields, type SimulatedRoute } from './handler.ts';
import { may, tokenAllows } from './rights.ts';
import { templateThing } from './routes-workspaces.ts';
import { phaseOf } from './timeline.ts';
import type { SimulatedTemplate, SimulatedVersion, World } from './world.ts';

const largestFile = 100 * 1024 * 1024;
const templateName = /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/;
const versionName = /^[a-zA-Z0-9]+(?:[_.-][a-zA-Z0-9]+)*$/;

export function uploadFile({ world, caller, contentType, bytes }: Asked): Answer {
  if (!may(world, caller, 'create', { type: 'file', ownerId: caller.user.id })) return notFound();
  if (contentType !== 'application/x-tar' && contentType !== 'application/zip')
    return refuse(400, `Unsupported content type header "${contentType}".`);
  if (bytes.length > largestFile)
    return refuse(400, 'Failed to read file from request.', 'http: request body too large');
  if (contentType === 'application/zip' && bytes.subarray(0, 2).toString('latin1') !== 'PK')
    return refuse(400, 'Incomplete .zip archive file.', 'zip: not a valid zip file');
  const digest = createHash('sha256').update(bytes).digest('hex');
  const known = [...world.files.values()].find((file) => file.ownerId === caller.user.id && file.digest === digest);
  if (known) return ok({ hash: known.id });
  const id = randomUUID();
  world.files.set(id, { id, ownerId: caller.user.id, digest, bytes });
  return ok({ hash: id }, 201);
}

/** 404 unless the organization of the path is the one there is and the caller may see it. */
function organization(asked: Asked): void {
  const { world, caller, path } = asked;
  const { id, name } = world.organization;
  const known = [id, name, 'default'].includes(path['organization'] ?? '');
  const thing = { type: 'organization', id, organizationId: id };
  if (!known || !may(world, caller, 'read', thing)) throw new Refused(notFound());
}

export function createVersion(asked: Asked): Answer {
  organization(asked);
  const { world, caller } = asked;
  const body = readObject(asked, 'CreateTemplateVersionRequest');
  const name = textOf(body, 'name');
  const provisioner = textOf(body, 'provisioner');
  const fileId = textOf(body, 'file_id');
  if (name !== '' && !versionName.test(name)) return validationFailed(['name', 'template_version_name', name]);
  if (fileId === '')
    return validationFailed(['file_id', 'required_without', noId], ['example_id', 'required_without', '']);
  if (provisioner !== 'terraform') return validationFailed(['provisioner', 'oneof', provisioner]);
  const template = templateOfVersion(world, textOf(body, 'template_id'));
  const file = world.files.get(fileId);
  const organizationId = world.organization.id;
  if (!file || !may(world, caller, 'read', { type: 'file', ownerId: file.ownerId, organizationId }))
    return refuse(404, 'File not found.');
  if (!may(world, caller, 'create', { type: 'template', organizationId })) return notFound();
  if (!tokenAllows(caller.token, 'user', 'read'))
    return refuse(400, 'Internal error checking workspace tags', `Owner not found, uuid=${caller.user.id}`);
  const taken = [...world.versions.values()].some(
    (version) => template && version.templateId === template.id && version.name === name,
  );
  if (taken) return nameTaken(`A template version with name "${name}" already exists for this template.`);
  const version = addVersion(world, {
    body,
    name,
    fileId,
    creatorId: caller.user.id,
    templateId: template?.id ?? null,
  });
  return ok(versionBody(world, version, true), 201);
}

function templateOfVersion(world: World, id: string): SimulatedTemplate | undefined {
  const template = world.templates.get(id);
  if (id !== '' && !template) throw new Refused(refuse(404, 'Template does not exist.'));
  return template;
}

function addVersion(
  world: World,
  made: { body: Fields; name: string; fileId: string; creatorId: string; templateId: string | null },
): SimulatedVersion {
  const files = filesOf(world.files.get(made.fileId)?.bytes ?? Buffer.alloc(0));
  const given = listOf(made.body, 'user_variable_values').map((value) => (value ?? {}) as Fields);
  const variables = Object.fromEntries(given.map((one) => [textOf(one, 'name'), textOf(one, 'value')]));
  const version: SimulatedVersion = {
    id: randomUUID(),
    jobId: randomUUID(),
    name: made.name || `version_${world.versions.size + 1}`,
    message: textOf(made.body, 'message'),
    readme: files.get('README.md') ?? '',
    fileId: made.fileId,
    creatorId: made.creatorId,
    createdAt: world.now(),
    timing: world.timing,
    ends: world.importEnds ?? importEnds(files, Object.keys(variables)),
    variables,
    form: world.form,
    templateId: made.templateId,
  };
  world.versions.set(version.id, version);
  return version;
}

function idOf(asked: Asked, name: string): string {
  const id = asked.path[name] ?? '';
  if (!isUuid(id)) throw new Refused(badUuid(id));
  return id;
}

/** A version is read with the right to its template, or, while it has none, with the right to make templates. */
export function readableVersion(asked: Asked): SimulatedVersion {
  const { world, caller } = asked;
  const version = world.versions.get(idOf(asked, 'templateversion'));
  if (!version) throw new Refused(notFound());
  const { templateId } = version;
  const allowed =
    templateId === null
      ? may(world, caller, 'update', { type: 'template', organizationId: world.organization.id })
      : may(world, caller, 'read', templateThing(world, templateId));
  if (!allowed) throw new Refused(notFound());
  return version;
}

export const getVersion = (asked: Asked): Answer => ok(versionBody(asked.world, readableVersion(asked)));

/** Names and values only: types, descriptions and defaults are the archive's, which nobody evaluates here. */
export function getVersionVariables(asked: Asked): Answer {
  const { world } = asked;
  const version = readableVersion(asked);
  const { job } = phaseOf(version, world.now());
  if (job === 'pending' || job === 'running') return refuse(403, 'Template version job has not finished');
  const sensitive = sensitiveVariables(filesOf(world.files.get(version.fileId)?.bytes ?? Buffer.alloc(0)));
  return ok(
    Object.entries(version.variables ?? {}).map(([name, value]) => {
      const isSensitive = sensitive.includes(name);
      const shown = isSensitive ? '*redacted*' : value;
      const rest = { default_value: isSensitive ? shown : '', required: false, sensitive: isSensitive };
      return { name, description: '', type: 'string', value: shown, ...rest };
    }),
  );
}

export function createTemplate(asked: Asked): Answer {
  organization(asked);
  const { world, caller } = asked;
  const body = readObject(asked, 'CreateTemplateRequest');
  const name = textOf(body, 'name');
  const versionId = textOf(body, 'template_version_id');
  const faults = [
    ...(templateName.test(name) ? [] : [['name', 'template_name', name] as const]),
    ...(versionId === '' ? [['template_version_id', 'required', noId] as const] : []),
  ];
  if (faults.length > 0) return validationFailed(...faults);
  if (byName(world, name)) return nameTaken(`Template with name "${name}" already exists.`);
  const version = world.versions.get(versionId);
  if (!version)
    return refuse(404, `Template version "${versionId}" does not exist.`, undefined, [
      { field: 'template_version_id', detail: 'Template version does not exist' },
    ]);
  if (!may(world, caller, 'create', { type: 'template', organizationId: world.organization.id }))
    return refuse(500, 'Internal error fetching template version.', 'unauthorized: rbac: forbidden');
  if (version.templateId !== null)
    return refuse(400, `Template version ${versionId} is already part of a template`, undefined, [
      { field: 'template_version_id', detail: 'Template version is already part of a template' },
    ]);
  const template: SimulatedTemplate = {
    id: randomUUID(),
    creatorId: caller.user.id,
    createdAt: world.now(),
    name,
    displayName: textOf(body, 'display_name'),
    description: textOf(body, 'description'),
    icon: textOf(body, 'icon'),
    activeVersionId: versionId,
    allowUserCancel: body['allow_user_cancel_workspace_jobs'] === true,
  };
  world.templates.set(template.id, template);
  version.templateId = template.id;
  return ok(templateBody(world, template), 201);
}

const byName = (world: World, name: string): SimulatedTemplate | undefined =>
  [...world.templates.values()].find((template) => template.name.toLowerCase() === name.toLowerCase());

export function getTemplateByName(asked: Asked): Answer {
  organization(asked);
  const { world, caller } = asked;
  const template = byName(world, asked.path['template'] ?? '');
  const visible = template && may(world, caller, 'read', templateThing(world, template.id));
  return visible ? ok(templateBody(world, template)) : notFound();
}

/** The template of a path; 404 unless the caller may read it. */
function template(asked: Asked): SimulatedTemplate {
  const { world, caller } = asked;
  const found = world.templates.get(idOf(asked, 'template'));
  if (!found || !may(world, caller, 'read', templateThing(world, found.id))) throw new Refused(notFound());
  return found;
}

export function updateTemplate(asked: Asked): Answer {
  const found = template(asked);
  const { world, caller } = asked;
  const body = readObject(asked, 'UpdateTemplateMeta');
  const name = textOf(body, 'name');
  if (name !== '' && !templateName.test(name)) return validationFailed(['name', 'template_name', name]);
  if (!may(world, caller, 'update', templateThing(world, found.id)))
    return refuse(
      500,
      'An internal server error occurred.',
      'execute transaction: update template metadata: unauthorized: rbac: forbidden',
    );
  const holder = name === '' ? undefined : byName(world, name);
  if (holder && holder !== found) return nameTaken(`Template with name "${name}" already exists.`);
  if (name !== '') found.name = name;
  if (typeof body['display_name'] === 'string') found.displayName = body['display_name'];
  if (typeof body['description'] === 'string') found.description = body['description'];
  if (typeof body['icon'] === 'string') found.icon = body['icon'];
  if (typeof body['allow_user_cancel_workspace_jobs'] === 'boolean')
    found.allowUserCancel = body['allow_user_cancel_workspace_jobs'];
  return ok(templateBody(world, found));
}

export function activateVersion(asked: Asked): Answer {
  const found = template(asked);
  const { world, caller } = asked;
  const version = world.versions.get(textOf(readObject(asked, 'UpdateActiveTemplateVersion'), 'id'));
  if (!version) return refuse(404, 'Template version not found.');
  if (version.templateId !== found.id)
    return refuse(400, "The provided template version doesn't belong to the specified template.");
  if (phaseOf(version, world.now()).job !== 'succeeded')
    return refuse(
      403,
      'Only versions that have been built successfully can be promoted.',
      'Attempted to promote a version with a failed build',
    );
  if (!may(world, caller, 'update', templateThing(world, found.id)))
    return refuse(
      500,
      'Internal error updating active template version.',
      'execute transaction: update active version: unauthorized: rbac: forbidden',
    );
  found.activeVersionId = version.id;
  return ok({ message: 'Updated the active template version!' });
}

export const templateRoutes: readonly SimulatedRoute[] = [
  { method: 'POST', path: '/api/v2/files', handle: uploadFile },
  { method: 'POST', path: '/api/v2/organizations/{organization}/templateversions', handle: createVersion },
  { method: 'GET', path: '/api/v2/templateversions/{templateversion}', handle: getVersion },
  { method: 'GET', path: '/api/v2/templateversions/{templateversion}/variables', handle: getVersionVariables },
  { method: 'POST', path: '/api/v2/organizations/{organization}/templates', handle: createTemplate },
  { method: 'GET', path: '/api/v2/organizations/{organization}/templates/{template}', handle: getTemplateByName },
  { method: 'PATCH', path: '/api/v2/templates/{template}', handle: updateTemplate },
  { method: 'PATCH', path: '/api/v2/templates/{template}/versions', handle: activateVersion },
];
