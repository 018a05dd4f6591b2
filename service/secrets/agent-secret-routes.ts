import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Database } from '../platform/database.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import type { AgentSecrets, Change, SecretMetadata } from './agent-secrets.ts';
import { actorOf, makeAdmitOrganizationAdmin, type OrganizationAdminParts } from './organization-admin.ts';

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

/**
 * Secrets that agents of an organization refer to, for its admins. A value can be written and never read again.
 *
 * `PUT …/secrets/{name}` `{key: value, …}` replaces it · `GET …/secrets` lists names and keys · `DELETE …/secrets/{name}`
 */
export function agentSecretRoutes(
  parts: OrganizationAdminParts & { readonly database: Database; readonly secrets: AgentSecrets },
): Route[] {
  const { database, secrets } = parts;
  const admit = makeAdmitOrganizationAdmin(parts);

  const changeOf = async (request: Request, response: Response, action: string): Promise<Change> => {
    const { name } = parse(path, { name: pathParameter(request, 'name') }, 'The path');
    const organizationId = await admit(request, response, { action, target: { type: 'agent_secret', id: name } });
    return { organizationId, name, actor: actorOf(response), requestId: requestId(response) };
  };

  return [
    {
      method: 'put',
      path: '/api/v2/agents/secrets/:name',
      guard: 'user',
      summary: 'Writes a secret of the organization. Its values are never shown again.',
      handler: async (request, response) => {
        const change = await changeOf(request, response, 'agent_secret.written');
        const values = parse(body, request.body ?? {}, 'The secret');
        await database.transaction((tx) => secrets.put(tx, change, new Map(Object.entries(values))));
        const written = (await secrets.list(change.organizationId)).find(({ name }) => name === change.name);
        response.json(written && present(written));
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/secrets',
      guard: 'user',
      summary: 'Lists the secrets of the organization: names, keys and times, never a value.',
      handler: async (request, response) => {
        const target = { type: 'agent_secret', id: '*' };
        const organizationId = await admit(request, response, { action: 'agent_secret.listed', target });
        response.json({ items: (await secrets.list(organizationId)).map(present) });
      },
    },
    {
      method: 'delete',
      path: '/api/v2/agents/secrets/:name',
      guard: 'user',
      summary: 'Deletes a secret of the organization. Agents that refer to it go without it.',
      handler: async (request, response) => {
        const change = await changeOf(request, response, 'agent_secret.deleted');
        await database.transaction((tx) => secrets.remove(tx, change));
        response.status(204).end();
      },
    },
  ];
}

const present = (secret: SecretMetadata) => ({
  name: secret.name,
  keys: secret.keys,
  created_at: secret.createdAt.toISOString(),
  updated_at: secret.updatedAt.toISOString(),
  updated_by: secret.updatedBy,
});
