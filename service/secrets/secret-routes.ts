import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { Database } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationOfMember,
  type OrganizationAdminParts,
  organizationQuery,
} from './organization-admin.ts';
import type { SecretMetadata } from './secret-metadata.ts';
import { organizationPlace, secretPath, scopeOf, type SecretPlace } from './secret-place.ts';
import type { Rotation, SecretChange, Secrets } from './secrets.ts';
import { rotationAnswer, secretAnswer } from './secret-shape.ts';

/** As Kubernetes names a Secret, so that bodies written for one fit here. */
export const secretName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'must be lower-case letters, digits, - and ., such as ai-credentials');
export const secretKey = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9._-]+$/, 'must be letters, digits, -, _ and ., such as api-key');

const mostKeys = 100;
const longestValue = 64 * 1024;

const body = z
  .record(secretKey, z.string().min(1, 'is empty').max(longestValue, 'is longer than 65536 characters'))
  .refine((values) => Object.keys(values).length > 0, 'names no key; delete the secret instead')
  .refine((values) => Object.keys(values).length <= mostKeys, `names more than ${mostKeys} keys`);

const path = z.object({ name: secretName });
const query = z.object({
  scope: z.enum(['organization', 'owner', 'workspace']).optional(),
  /** UUID, `owner/name` or name of a workspace of the caller. */
  workspace_id: z.string().min(1).max(200).optional(),
});
const placeQuery = query.extend(organizationQuery.shape);
const writeQuery = z.object({ rotate_after: z.iso.datetime({ offset: true }).optional() });

export interface SecretRoutesParts extends OrganizationAdminParts {
  readonly database: Database;
  readonly secrets: Secrets;
  /** The workspace that a reference of the caller means. Throws `not_found` where the caller may not use one. */
  readonly workspaceOf: (
    response: Response,
    reference: string,
  ) => Promise<{ readonly id: string; readonly ownerId: string; readonly organizationId: string }>;
  /** Seals with the ring's current key what another one sealed, and says which keys are still needed. */
  readonly reseal: () => Promise<{ readonly resealed: number; readonly broken: number; readonly keysInUse: string[] }>;
}

/**
 * Named secrets. A value can be written and never read again.
 *
 * Scope    `organization` (default): its admins, for the work of all members · `owner`: everybody their own ·
 *          `workspace` with `workspace_id`: the owner of the workspace. What is somebody else's is 404.
 * Routes   `PUT …/secrets/{name}` `{key: value, …}` replaces it · `GET …/secrets` and `…/{name}` show names, keys and
 *          times · `DELETE …/secrets/{name}` · `POST …/secrets/rotate` seals everything anew
 */
export function secretRoutes(parts: SecretRoutesParts): Route[] {
  const { database, secrets } = parts;
  const find = async (place: SecretPlace, name: string): Promise<SecretMetadata> => {
    const found = (await secrets.list(place)).find((one) => one.name === name);
    if (!found) throw notFound(`Secret ${name}`);
    return found;
  };

  return [
    {
      method: 'put',
      path: '/api/v2/agents/secrets/:name',
      guard: 'user',
      summary: 'Writes a secret. Its values are never shown again.',
      shape: { query: placeQuery.extend(writeQuery.shape), body, answers: { 200: secretAnswer } },
      handler: async (request, response) => {
        const change = await changeOf(parts, request, response, 'agent_secret.written');
        const { rotate_after: until } = parse(writeQuery, request.query, 'The query');
        const values = new Map(Object.entries(parse(body, request.body ?? {}, 'The secret')));
        await database.transaction((tx) => secrets.put(tx, change, values, until ? new Date(until) : null));
        response.json(present(change.place, await find(change.place, change.name)));
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/secrets',
      guard: 'user',
      summary: 'Lists secrets: names, keys, times and which are overdue, never a value.',
      shape: { query: placeQuery, answers: { 200: z.strictObject({ items: z.array(secretAnswer) }) } },
      handler: async (request, response) => {
        const place = await placeOf(parts, request, response, { action: 'agent_secret.listed', name: '*' });
        response.json({ items: (await secrets.list(place)).map((one) => present(place, one)) });
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/secrets/:name',
      guard: 'user',
      summary: 'Shows what a secret is called, its keys and times, never a value.',
      shape: { query: placeQuery, answers: { 200: secretAnswer } },
      handler: async (request, response) => {
        const { place, name } = await changeOf(parts, request, response, 'agent_secret.listed');
        response.json(present(place, await find(place, name)));
      },
    },
    {
      method: 'delete',
      path: '/api/v2/agents/secrets/:name',
      guard: 'user',
      summary: 'Deletes a secret. What refers to it goes without it.',
      shape: { query: placeQuery, answers: { 204: null } },
      handler: async (request, response) => {
        const change = await changeOf(parts, request, response, 'agent_secret.deleted');
        await database.transaction((tx) => secrets.remove(tx, change));
        response.status(204).end();
      },
    },
    {
      method: 'post',
      path: '/api/v2/agents/secrets/rotate',
      guard: 'user',
      summary: 'Exchanges the data keys of secrets and seals every value anew; nothing becomes unreadable meanwhile.',
      shape: { query: placeQuery, answers: { 200: rotationAnswer } },
      handler: async (request, response) => {
        const place = await placeOf(parts, request, response, { action: 'agent_secret.rotated', name: '*' });
        if (place.workspaceId !== null) throw noRotationOfOne();
        const of = { organizationId: place.organizationId, ...(place.ownerId ? { ownerId: place.ownerId } : {}) };
        const rotation = await secrets.rotate(of, { actor: actorOf(response), requestId: requestId(response) });
        response.json(presentRotation(rotation, await parts.reseal()));
      },
    },
  ];
}

async function changeOf(
  parts: SecretRoutesParts,
  request: Request,
  response: Response,
  action: string,
): Promise<SecretChange> {
  const { name } = parse(path, { name: pathParameter(request, 'name') }, 'The path');
  const place = await placeOf(parts, request, response, { action, name });
  return { place, name, actor: actorOf(response), requestId: requestId(response) };
}

/** The place a request is about, once the caller is seen to have a say there. */
async function placeOf(
  parts: SecretRoutesParts,
  request: Request,
  response: Response,
  what: { readonly action: string; readonly name: string },
): Promise<SecretPlace> {
  const { scope: said, workspace_id: reference } = parse(query, request.query, 'The query');
  const scope = said ?? (reference === undefined ? 'organization' : 'workspace');
  const caller = response.locals['actor'] as Actor;
  if ((scope === 'workspace') !== (reference !== undefined)) throw scopeUnclear(scope);
  if (reference !== undefined) {
    const workspace = await parts.workspaceOf(response, reference);
    if (workspace.ownerId !== caller.id) throw notFound(`Workspace '${reference}'`);
    return { organizationId: workspace.organizationId, ownerId: caller.id, workspaceId: workspace.id };
  }
  if (scope === 'owner') {
    return { organizationId: organizationOfMember(request, response), ownerId: caller.id, workspaceId: null };
  }
  const target = { type: 'agent_secret', id: what.name };
  return organizationPlace(await makeAdmitOrganizationAdmin(parts)(request, response, { action: what.action, target }));
}

const present = (place: SecretPlace, secret: SecretMetadata) => ({
  name: secret.name,
  path: secretPath(place, secret.name),
  scope: scopeOf(place),
  keys: secret.keys,
  created_at: secret.createdAt.toISOString(),
  updated_at: secret.updatedAt.toISOString(),
  updated_by: secret.updatedBy,
  rotate_after: secret.rotateAfter?.toISOString() ?? null,
  overdue: secret.isOverdue,
});

const presentRotation = (
  { places, values }: Rotation,
  { resealed, broken, keysInUse }: Awaited<ReturnType<SecretRoutesParts['reseal']>>,
) => ({ data_keys: places, values, resealed, not_opened: broken, keys_in_use: keysInUse });

const scopeUnclear = (scope: string): ServiceError =>
  new ServiceError(
    'invalid',
    'invalid_request',
    scope === 'workspace'
      ? 'The scope is workspace and no workspace is named. Send workspace_id.'
      : `The scope is ${scope} and a workspace is named. Leave out workspace_id, or say scope=workspace.`,
  );

const noRotationOfOne = (): ServiceError =>
  new ServiceError(
    'invalid',
    'invalid_request',
    'The data keys of a single workspace are not rotated alone. Use scope=owner, which includes them.',
  );
