import type { Request, Response } from 'express';
import { z } from 'zod';
import { sql } from 'kysely';
import { limits } from '../../modules/contract.ts';
import { canonicalJson } from '../platform/canonical.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { storableJson } from '../platform/storable.ts';
import { readBodyText, readYaml } from '../platform/yaml-body.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationOfMember,
  type OrganizationAdminParts,
  organizationQuery,
} from '../secrets/organization-admin.ts';
import { agentManifest, agentName } from './agent-entry.ts';
import { templateAnswer, writtenTemplate } from './entry-shape.ts';

/** Defaults for entries of agents, in the words of kubeopencode's `AgentTemplate`. */
export const agentTemplateManifest = agentManifest.extend({
  kind: z.literal('AgentTemplate'),
  spec: agentManifest.shape.spec.partial(),
});
export type AgentTemplateSpec = z.output<typeof agentTemplateManifest>['spec'];

interface Row {
  name: string;
  spec: AgentTemplateSpec;
}

const base = '/api/v2/agents/agent-templates';
const writeQuery = z.object({ dry_run: z.enum(['true', 'false']).optional() });

/**
 * Defaults that entries of agents are made from: admins of the organization write them, its members read them.
 *
 * An entry is complete in itself: whoever writes it merges the template in, and a later change of the template changes
 * no entry until that is written again.
 */
export function agentTemplateRoutes(
  parts: OrganizationAdminParts & { readonly clock: Clock },
): (Route & { readonly rawBody?: true })[] {
  const { database } = parts;
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists the templates that agents of the organization are made from.',
      shape: { query: organizationQuery, answers: { 200: listAnswer(templateAnswer) } },
      handler: async (request, response) => {
        const rows = await templatesOf(database, organizationOfMember(request, response));
        response.json({ items: rows.map(present), next_cursor: null });
      },
    },
    {
      method: 'get',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Reads a template that agents of the organization are made from.',
      shape: { query: organizationQuery, answers: { 200: templateAnswer } },
      handler: async (request, response) => {
        const name = agentName(pathParameter(request, 'name'));
        const row = (await templatesOf(database, organizationOfMember(request, response))).find(
          (one) => one.name === name,
        );
        if (!row) throw notFound(`Agent template '${name}'`);
        response.json(present(row));
      },
    },
    {
      method: 'put',
      path: `${base}/:name`,
      guard: 'user',
      rawBody: true,
      summary: 'Writes a template that agents of the organization are made from.',
      shape: {
        query: writeQuery.extend(organizationQuery.shape),
        body: agentTemplateManifest,
        answers: { 200: writtenTemplate },
      },
      handler: (request, response) => write(parts, request, response),
    },
    {
      method: 'delete',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Deletes a template; agents made from it stay as they are.',
      shape: { query: organizationQuery, answers: { 204: null } },
      handler: (request, response) => remove(parts, request, response),
    },
  ];
}

async function write(
  parts: OrganizationAdminParts & { readonly clock: Clock },
  request: Request,
  response: Response,
): Promise<void> {
  const isDryRun = parse(writeQuery, request.query, 'The query').dry_run === 'true';
  const name = agentName(pathParameter(request, 'name'));
  const what = { action: 'agent_template.written', target: { type: 'agent_template', id: name } };
  const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, what);
  const body = readYaml(await readBodyText(request, response, limits.jsonBodyBytes));
  const { metadata, spec } = parse(agentTemplateManifest, body, 'The agent template');
  if (metadata.name !== name) throw nameDiffers(metadata.name, name);
  const before = (await templatesOf(parts.database, organizationId)).find((one) => one.name === name);
  const same = before !== undefined && canonicalJson(before.spec) === canonicalJson(spec);
  const change = same ? 'unchanged' : before ? 'changed' : 'created';
  if (isDryRun) {
    response.json({ change, dry_run: true });
    return;
  }
  if (!same)
    await parts.database.transaction(async (tx) => {
      await sql`
        insert into agent_template (organization_id, name, spec, updated_at, updated_by)
        values (${organizationId}, ${name}, ${storableJson(spec)}::json, ${parts.clock.now()}, ${actorOf(response)})
        on conflict (organization_id, name) do update
           set spec = excluded.spec, updated_at = excluded.updated_at, updated_by = excluded.updated_by`.execute(
        tx.as<unknown>(),
      );
      const rest = { actor: actorOf(response), outcome: 'success' as const, requestId: requestId(response) };
      await parts.audit.append(tx, { ...what, ...rest, organizationId });
    });
  response.json({ ...present({ name, spec }), change });
}

async function remove(parts: OrganizationAdminParts, request: Request, response: Response): Promise<void> {
  const name = agentName(pathParameter(request, 'name'));
  const what = { action: 'agent_template.deleted', target: { type: 'agent_template', id: name } };
  const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, what);
  await parts.database.transaction(async (tx) => {
    const gone = await sql`
      delete from agent_template where organization_id = ${organizationId} and name = ${name}`.execute(
      tx.as<unknown>(),
    );
    if (gone.numAffectedRows !== 1n) throw notFound(`Agent template '${name}'`);
    const rest = { actor: actorOf(response), outcome: 'success' as const, requestId: requestId(response) };
    await parts.audit.append(tx, { ...what, ...rest, organizationId });
  });
  response.status(204).end();
}

const templatesOf = async (database: Pick<Database, 'as'>, organizationId: string): Promise<readonly Row[]> =>
  (
    await sql<Row>`
      select name, spec from agent_template where organization_id = ${organizationId} order by name`.execute(
      database.as<unknown>(),
    )
  ).rows;

const present = ({ name, spec }: Row) => ({
  apiVersion: 'kubeopencode.io/v1alpha1',
  kind: 'AgentTemplate',
  metadata: { name },
  spec,
});

const nameDiffers = (inBody: string, inPath: string): ServiceError =>
  new ServiceError(
    'invalid',
    'agent_template_name_differs',
    `The body describes template ${inBody}, the path names ${inPath}. Make them the same.`,
  );
