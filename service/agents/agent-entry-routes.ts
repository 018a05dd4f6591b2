import type { Request, Response } from 'express';
import { z } from 'zod';
import { limits, type Actor } from '../../modules/contract.ts';
import { providerKeyName } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import { notFound } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { readBodyText } from '../platform/yaml-body.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationAsked,
  organizationOfMember,
  type OrganizationAdminParts,
  organizationQuery,
} from '../secrets/organization-admin.ts';
import { organizationPlace } from '../secrets/secret-place.ts';
import type { Secrets } from '../secrets/secrets.ts';
import {
  agentName,
  destinationOf,
  manifestOf,
  isExpired,
  readManifest,
  type AgentEntry,
  type Credential,
  agentManifest,
} from './agent-entry.ts';
import { deleteEntry, entriesOf } from './agent-entry-store.ts';
import {
  earlierSpec,
  entryVersionsRoute,
  foreseeChange,
  rollbackBody,
  saveVersionedEntry,
} from './agent-entry-versions.ts';
import { gitHostOf } from './git-credential.ts';
import { entryAnswer, entrySummary, writtenEntry } from './entry-shape.ts';

export interface AgentEntryParts extends OrganizationAdminParts {
  readonly secrets: Pick<Secrets, 'list'>;
  readonly upstreamUrl: string;
  readonly clock: Clock;
}

const path = '/api/v2/agents/registry/:name';
const writeQuery = z.object({ dry_run: z.enum(['true', 'false']).optional() });

/**
 * What an organization gives its agents: credentials by reference, and images. Its admins write, its members read.
 *
 * Body     kubeopencode's `Agent`, as YAML or JSON. Answers repeat it, with a `status` beside it.
 * Safety   no value passes here in either direction, and none reaches a workspace: a model provider's key is used by
 *          the gateway, everything else is for the broker.
 */
export function agentEntryRoutes(parts: AgentEntryParts): (Route & { readonly rawBody?: true })[] {
  return [
    {
      method: 'put',
      path,
      guard: 'user',
      rawBody: true,
      summary: 'Writes what an agent of the organization uses: credentials by reference, images.',
      shape: { query: writeQuery.extend(organizationQuery.shape), body: agentManifest, answers: { 200: writtenEntry } },
      handler: (request, response) => write(parts, request, response),
    },
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Reads what an agent of the organization uses, never a value.',
      shape: { query: organizationQuery, answers: { 200: entryAnswer } },
      handler: async (request, response) => {
        const name = agentName(pathParameter(request, 'name'));
        const organizationId = organizationAsked(request, response);
        const { organizationIds } = response.locals['actor'] as Actor;
        if (!organizationIds.includes(organizationId)) throw notFound(`Agent '${name}'`);
        response.json(await present(parts, organizationId, name));
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/agent-entries',
      guard: 'user',
      summary: 'Lists what is written for agents of the organization, never a value.',
      shape: { query: organizationQuery, answers: { 200: listAnswer(entrySummary) } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        const items = (await entriesOf(parts.database, organizationId)).map(({ name, spec }) => manifestOf(name, spec));
        response.json({ items, next_cursor: null });
      },
    },
    entryVersionsRoute(parts),
    {
      method: 'post',
      path: `${path}/rollback`,
      guard: 'user',
      summary: 'Brings back what an agent of the organization used earlier.',
      shape: { query: organizationQuery, body: rollbackBody, answers: { 200: writtenEntry } },
      handler: (request, response) => rollBack(parts, request, response),
    },
    {
      method: 'delete',
      path,
      guard: 'user',
      summary: 'Deletes what was written for an agent of the organization.',
      shape: { query: organizationQuery, answers: { 204: null } },
      handler: (request, response) => remove(parts, request, response),
    },
  ];
}

async function write(parts: AgentEntryParts, request: Request, response: Response): Promise<void> {
  const isDryRun = parse(writeQuery, request.query, 'The query').dry_run === 'true';
  const name = agentName(pathParameter(request, 'name'));
  const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, written(name));
  const spec = readManifest(await readBodyText(request, response, limits.jsonBodyBytes), name);
  if (isDryRun) {
    response.json({ change: await foreseeChange(parts.database, { organizationId, name, spec }), dry_run: true });
    return;
  }
  await save(parts, response, { organizationId, name, spec });
}

async function rollBack(parts: AgentEntryParts, request: Request, response: Response): Promise<void> {
  const name = agentName(pathParameter(request, 'name'));
  const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, written(name));
  const { to } = parse(rollbackBody, request.body ?? {}, 'The rollback');
  const spec = await earlierSpec(parts.database, organizationId, name, to);
  await save(parts, response, { organizationId, name, spec }, to);
}

const written = (name: string) => ({ action: 'agent_entry.written', target: { type: 'agent_entry', id: name } });

async function save(
  parts: AgentEntryParts,
  response: Response,
  entry: Pick<AgentEntry, 'organizationId' | 'name' | 'spec'>,
  restoredFrom: number | null = null,
): Promise<void> {
  const { database, audit, clock } = parts;
  const { organizationId, name, spec } = entry;
  const actor = actorOf(response);
  const change = await database.transaction(async (tx) => {
    const stored = { ...entry, updatedAt: clock.now(), updatedBy: actor };
    const saved = await saveVersionedEntry(tx, stored, restoredFrom);
    if (saved.change === 'unchanged') return saved.change;
    const credentials = spec.credentials.map(({ env, secretRef: { name, key } }) => `${env}=${name}/${key}`).join(' ');
    const { agentImage = null, executorImage = null, attachImage = null } = spec;
    const images = { agent_image: agentImage, executor_image: executorImage, attach_image: attachImage };
    const rest = { actor, outcome: 'success' as const, organizationId, requestId: requestId(response) };
    const data = { credentials, ...images, version: saved.version, restored_from: restoredFrom };
    await audit.append(tx, { ...written(name), ...rest, data });
    return saved.change;
  });
  response.json({ ...(await present(parts, organizationId, name)), change });
}

async function remove(parts: AgentEntryParts, request: Request, response: Response): Promise<void> {
  const name = agentName(pathParameter(request, 'name'));
  const what = { action: 'agent_entry.deleted', target: { type: 'agent_entry', id: name } };
  const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, what);
  await parts.database.transaction(async (tx) => {
    if (!(await deleteEntry(tx, organizationId, name))) throw notFound(`Agent '${name}'`);
    const rest = { actor: actorOf(response), outcome: 'success' as const, requestId: requestId(response) };
    await parts.audit.append(tx, { ...what, ...rest, organizationId });
  });
  response.status(204).end();
}

async function present(parts: AgentEntryParts, organizationId: string, name: string) {
  const entry = (await entriesOf(parts.database, organizationId)).find((one) => one.name === name);
  if (!entry) throw notFound(`Agent '${name}'`);
  const secrets = await parts.secrets.list(organizationPlace(organizationId));
  const isStored = ({ secretRef }: Credential): boolean =>
    secrets.some((secret) => secret.name === secretRef.name && secret.keys.includes(secretRef.key));
  return {
    ...manifestOf(name, entry.spec),
    status: statusOf(parts, entry, isStored),
  };
}

function statusOf(parts: AgentEntryParts, entry: AgentEntry, isStored: (credential: Credential) => boolean) {
  const upstreamTakes = providerKeyName(parts.upstreamUrl);
  return {
    organization_id: entry.organizationId,
    created_at: entry.createdAt.toISOString(),
    updated_at: entry.updatedAt.toISOString(),
    updated_by: entry.updatedBy,
    credentials: entry.spec.credentials.map((credential) => ({
      name: credential.name,
      env: credential.env,
      destination: destinationOf(credential),
      /** Where the broker shows it; null for what git has no use for. */
      host: gitHostOf(credential),
      scope: credential.scope ?? null,
      expires_at: credential.expiresAt ?? null,
      /** Whether there is a value behind the reference. */
      stored: isStored(credential),
      /** Whether the gateway's upstream takes this key; null for what is not the gateway's. */
      fits_upstream: destinationOf(credential) === 'gateway' ? credential.env === upstreamTakes : null,
      expired: isExpired(credential, parts.clock.now()),
    })),
  };
}
