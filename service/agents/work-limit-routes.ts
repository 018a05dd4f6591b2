import type { Request, Response } from 'express';
import { z } from 'zod';
import { isUuid } from '../platform/clock.ts';
import { notFound } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationOfMember,
  type OrganizationAdminParts,
  organizationQuery,
} from '../secrets/organization-admin.ts';
import type { Registry } from './registry.ts';
import {
  deleteLimit,
  limitBody,
  limitKinds,
  limitsOf,
  saveLimit,
  type LimitKey,
  type WorkLimit,
} from './work-limit.ts';

export interface WorkLimitParts extends OrganizationAdminParts {
  readonly registry: Registry;
}

const base = '/api/v2/agents/limits';
const path = `${base}/:kind/:target`;
const limitAnswer = z.looseObject({ organization_id: z.string(), kind: z.enum(limitKinds), target: z.string() });
const kind = z.object({ kind: z.enum(limitKinds) });

/** How much of an organization's work may run at once, and how much may begin in a while. Its admins write, members read. */
export function workLimitRoutes(parts: WorkLimitParts): Route[] {
  const admit = makeAdmitOrganizationAdmin(parts);

  async function keyOf(request: Request, response: Response, action: string): Promise<LimitKey> {
    const chosen = parse(kind, { kind: pathParameter(request, 'kind') }, 'The path').kind;
    const target = pathParameter(request, 'target');
    if (chosen === 'agent') parts.registry.agent(target);
    else if (!isUuid(target)) throw notFound(`Workspace '${target}'`);
    const what = { action, target: { type: `${chosen}_limit`, id: target } };
    return { organizationId: await admit(request, response, what), kind: chosen, target: target.toLowerCase() };
  }

  const change = (response: Response, key: LimitKey, action: string) => ({
    actor: actorOf(response),
    action,
    target: { type: `${key.kind}_limit`, id: key.target },
    outcome: 'success' as const,
    organizationId: key.organizationId,
    requestId: requestId(response),
  });

  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists the limits of your organization.',
      shape: { query: organizationQuery, answers: { 200: listAnswer(limitAnswer) } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        const items = (await limitsOf(parts.database, organizationId)).map(present);
        response.json({ items, next_cursor: null });
      },
    },
    {
      method: 'put',
      path,
      guard: 'user',
      summary: 'Limits an agent of the organization, or a workspace: maxConcurrentTasks, quota, standby.',
      shape: { query: organizationQuery, body: limitBody, answers: { 200: limitAnswer } },
      handler: async (request, response) => {
        const key = await keyOf(request, response, 'work_limit.written');
        const body = parse(limitBody, request.body ?? {}, 'The limit');
        await parts.database.transaction(async (tx) => {
          await saveLimit(tx, { ...key, body });
          const data = {
            max_concurrent_tasks: body.maxConcurrentTasks ?? null,
            max_task_starts: body.quota?.maxTaskStarts ?? null,
            window_seconds: body.quota?.windowSeconds ?? null,
            idle_timeout: body.standby?.idleTimeout ?? null,
          };
          await parts.audit.append(tx, { ...change(response, key, 'work_limit.written'), data });
        });
        response.json(present({ ...key, body }));
      },
    },
    {
      method: 'delete',
      path,
      guard: 'user',
      summary: 'Takes a limit away.',
      shape: { query: organizationQuery, answers: { 204: null } },
      handler: async (request, response) => {
        const key = await keyOf(request, response, 'work_limit.deleted');
        await parts.database.transaction(async (tx) => {
          if (!(await deleteLimit(tx, key))) throw notFound(`The limit of ${key.kind} '${key.target}'`);
          await parts.audit.append(tx, change(response, key, 'work_limit.deleted'));
        });
        response.status(204).end();
      },
    },
  ];
}

const present = ({ organizationId, kind, target, body }: WorkLimit) => ({
  organization_id: organizationId,
  kind,
  target,
  ...body,
});
