import type { Request, Response } from 'express';
import { z } from 'zod';
import { limits } from '../../../modules/contract.ts';
import { callerOf } from '../../identity/identity.ts';
import { notFound } from '../../platform/errors.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route, listAnswer } from '../../platform/http.ts';
import { readBodyText, readYaml } from '../../platform/yaml-body.ts';
import {
  organizationOfMember,
  type OrganizationAdminParts,
  organizationQuery,
} from '../../secrets/organization-admin.ts';
import type { CheckParts, StartParts } from '../submit-workflow.ts';
import { deleteDefinition, findDefinition, listDefinitions, listVersions } from './definition-store.ts';
import { definitionName, readManifest, toYaml, definitionManifest } from './definition.ts';
import { presentDefinition, presentVersion, summarizeDefinition } from './present-definition.ts';
import { findVersion } from './read-definition.ts';
import { runDefinition, runBody } from './run-definition.ts';
import {
  audited,
  checkDefinition,
  foreseeChange,
  mustBeAuthor,
  rollBackDefinition,
  saveDefinition,
  type Change,
  type Writer,
} from './save-definition.ts';
import { definitionAnswer, definitionSummary, versionAnswer, writtenDefinition } from './definition-shape.ts';
import { workflowAccepted } from '../workflow-shape.ts';

export type DefinitionParts = OrganizationAdminParts & CheckParts & StartParts;

const base = '/api/v2/agents/definitions';
const path = `${base}/:name`;
const versionQuery = z.object({ version: z.coerce.number().int().min(1).optional() });
const writeQuery = z.object({ dry_run: z.enum(['true', 'false']).optional() });
const versionsQuery = z.object({
  limit: listQuery.shape.limit,
  cursor: z.coerce.number().int().min(1).optional(),
});
const rollbackBody = z.strictObject({ to: z.number().int().min(1) });

/**
 * Workflows that are kept under a name. Every member of the organization reads and runs them, with their own rights;
 * the author and organization admins change them.
 *
 * Body  a manifest `{apiVersion: outrigger/v1, kind: Workflow, metadata: {name}, spec}` as YAML or JSON.
 */
export function definitionsRoutes(parts: DefinitionParts): (Route & { readonly rawBody?: true })[] {
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists the definitions of your organization, newest first.',
      shape: { query: listQuery.extend(organizationQuery.shape), answers: { 200: listAnswer(definitionSummary) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const organizationId = organizationOfMember(request, response);
        const found = await listDefinitions(parts.database, { organizationId, limit, cursor });
        const ids = found.map(({ id }) => id);
        response.json({ items: found.map(summarizeDefinition), next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'put',
      path,
      guard: 'user',
      rawBody: true,
      summary: 'Stores a definition; a new version, unless it means the same as the current one.',
      shape: {
        query: writeQuery.extend(organizationQuery.shape),
        body: definitionManifest,
        answers: { 200: writtenDefinition, 201: writtenDefinition },
      },
      handler: (request, response) => write(parts, request, response),
    },
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Reads a definition, or one of its versions; as YAML where that is accepted.',
      shape: {
        query: versionQuery.extend(organizationQuery.shape),
        answers: { 200: definitionAnswer },
        otherTypes: ['application/yaml'],
      },
      handler: (request, response) => read(parts, request, response),
    },
    {
      method: 'delete',
      path,
      guard: 'user',
      summary: 'Deletes a definition with all its versions. What it started goes on.',
      shape: { query: organizationQuery, answers: { 204: null } },
      handler: (request, response) => remove(parts, request, response),
    },
    {
      method: 'get',
      path: `${path}/versions`,
      guard: 'user',
      summary: 'Lists the versions of a definition, newest first.',
      shape: { query: versionsQuery.extend(organizationQuery.shape), answers: { 200: listAnswer(versionAnswer) } },
      handler: (request, response) => versions(parts, request, response),
    },
    {
      method: 'post',
      path: `${path}/rollback`,
      guard: 'user',
      summary: 'Brings back an earlier version of a definition as its newest.',
      shape: { query: organizationQuery, body: rollbackBody, answers: { 200: writtenDefinition } },
      handler: (request, response) => rollBack(parts, request, response),
    },
    {
      method: 'post',
      path: `${path}/run`,
      guard: 'user',
      summary: 'Runs a definition with your rights, in your workspace.',
      shape: {
        query: organizationQuery,
        body: runBody,
        answers: {
          201: workflowAccepted.extend({ definition: z.strictObject({ name: z.string(), version: z.number().int() }) }),
        },
      },
      handler: (request, response) => runDefinition(parts, wantedOf(request, response), request, response),
    },
  ];
}

const wantedOf = (request: Request, response: Response) => ({
  organizationId: organizationOfMember(request, response),
  name: definitionName(pathParameter(request, 'name')),
});

/** The caller as one who may change this definition; audits and refuses anybody else. */
async function admitWriter(
  parts: DefinitionParts,
  request: Request,
  response: Response,
  action: string,
): Promise<Writer> {
  const wanted = wantedOf(request, response);
  const userId = callerOf(response).actor.id;
  const definition = await findDefinition(parts.database, wanted.organizationId, wanted.name);
  const isAuthor = definition === null || definition.authorId === userId;
  const isAdmin = !isAuthor && (await parts.mayAdminister(request, response, wanted.organizationId));
  const writer = { ...wanted, userId, isAdmin, requestId: requestId(response) };
  if (isAuthor || isAdmin) return writer;
  const refusal = { ...audited(writer, action), outcome: 'denied' as const };
  await parts.database.transaction((tx) => parts.audit.append(tx, refusal));
  throw mustBeAuthor(wanted.name);
}

async function write(parts: DefinitionParts, request: Request, response: Response): Promise<void> {
  const isDryRun = parse(writeQuery, request.query, 'The query').dry_run === 'true';
  const writer = await admitWriter(parts, request, response, 'definition.written');
  const { spec } = readManifest(readYaml(await readBodyText(request, response, limits.jsonBodyBytes)), writer.name);
  await checkDefinition(parts.bounds, writer.name, spec);
  if (isDryRun) {
    response.json({ change: await foreseeChange(parts.database, writer, spec), dry_run: true });
    return;
  }
  const change = await parts.database.transaction((tx) => saveDefinition(tx, parts, writer, spec));
  await answer(parts, writer, change, response);
}

async function answer(parts: DefinitionParts, writer: Writer, change: Change, response: Response): Promise<void> {
  const { definition, version } = await findVersion(parts.database, writer);
  response.status(change === 'created' ? 201 : 200).json({ ...presentDefinition(definition, version), change });
}

async function read(parts: DefinitionParts, request: Request, response: Response): Promise<void> {
  const { version: wanted } = parse(versionQuery, request.query, 'The query');
  const { definition, version } = await findVersion(parts.database, {
    ...wantedOf(request, response),
    version: wanted,
  });
  if (request.accepts(['application/json', 'application/yaml']) === 'application/yaml')
    response.type('application/yaml').send(toYaml(definition.name, version.spec));
  else response.json(presentDefinition(definition, version));
}

async function remove(parts: DefinitionParts, request: Request, response: Response): Promise<void> {
  const writer = await admitWriter(parts, request, response, 'definition.deleted');
  await parts.database.transaction(async (tx) => {
    const definition = await findDefinition(tx, writer.organizationId, writer.name, true);
    if (!definition) throw notFound(`Definition '${writer.name}'`);
    if (definition.authorId !== writer.userId && !writer.isAdmin) throw mustBeAuthor(writer.name);
    await deleteDefinition(tx, definition.id);
    await parts.audit.append(tx, { ...audited(writer, 'definition.deleted'), data: { version: definition.version } });
  });
  response.status(204).end();
}

async function versions(parts: DefinitionParts, request: Request, response: Response): Promise<void> {
  const { limit, cursor } = parse(versionsQuery, request.query, 'The query');
  const wanted = wantedOf(request, response);
  const definition = await findDefinition(parts.database, wanted.organizationId, wanted.name);
  if (!definition) throw notFound(`Definition '${wanted.name}'`);
  const found = await listVersions(parts.database, definition.id, { limit, before: cursor });
  const next = found.length === limit ? (found.at(-1)?.version ?? null) : null;
  response.json({ items: found.map(presentVersion), next_cursor: next === null ? null : String(next) });
}

async function rollBack(parts: DefinitionParts, request: Request, response: Response): Promise<void> {
  const writer = await admitWriter(parts, request, response, 'definition.written');
  const { to } = parse(rollbackBody, request.body ?? {}, 'The rollback');
  const { version } = await findVersion(parts.database, { ...writer, version: to });
  await checkDefinition(parts.bounds, writer.name, version.spec);
  const change = await parts.database.transaction((tx) => rollBackDefinition(tx, parts, writer, to));
  await answer(parts, writer, change, response);
}
