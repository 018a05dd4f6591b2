import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import { isUuid, uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { listAnswer, listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationAsked,
  organizationOfMember,
  type OrganizationAdminParts,
} from '../secrets/organization-admin.ts';
import { egressEntry } from './entry.ts';
import {
  addRequest,
  addRule,
  blockedOf,
  findRequest,
  listRequests,
  nextVersion,
  removeRule,
  requestStates,
  rulesOf,
  settleRequest,
  versionOf,
  type EgressRequest,
  type EgressRule,
} from './egress-store.ts';

export interface EgressParts extends OrganizationAdminParts {
  readonly clock: Clock;
  /** The workspace a reference means, if the caller may use it; throws `not_found`. */
  readonly workspaceOf: (response: Response, reference: string) => Promise<CoderWorkspace>;
}

const base = '/api/v2/agents';
const mostRules = 1_000;
const lifetime = z
  .number()
  .int()
  .min(60)
  .max(365 * 86_400)
  .nullable()
  .default(null);

const askBody = z.strictObject({ host: egressEntry, why: z.string().max(500).default('') });
const ruleBody = z.strictObject({
  host: egressEntry,
  workspace_id: z.uuid().nullable().default(null),
  expires_in_seconds: lifetime,
});
const decisionBody = z.strictObject({
  decision: z.enum(['approve', 'deny']),
  scope: z.enum(['workspace', 'organization']).default('workspace'),
  expires_in_seconds: lifetime,
});

const time = z.iso.datetime();
const blockedShape = z.strictObject({
  host: z.string(),
  port: z.number(),
  reason: z.string(),
  count: z.number(),
  first_at: time,
  last_at: time,
});
const requestShape = z.strictObject({
  id: z.uuid(),
  workspace_id: z.uuid(),
  host: z.string(),
  why: z.string(),
  state: z.enum(requestStates),
  asked_by: z.uuid(),
  asked_at: time,
  decided_by: z.string().nullable(),
  decided_at: time.nullable(),
  rule_id: z.uuid().nullable(),
});
const ruleShape = z.strictObject({
  id: z.uuid(),
  workspace_id: z.uuid().nullable(),
  host: z.string(),
  added_in: z.number(),
  created_by: z.string(),
  created_at: time,
  expires_at: time.nullable(),
});

/** What workspaces may reach beside the lists of their templates: seen and asked for by people, decided by admins. */
export function egressRoutes(parts: EgressParts): Route[] {
  const { database, audit, clock } = parts;
  const admit = makeAdmitOrganizationAdmin(parts);

  const event = (response: Response, action: string, target: { type: string; id: string }, organizationId: string) => ({
    actor: actorOf(response),
    action,
    target,
    outcome: 'success' as const,
    organizationId,
    requestId: requestId(response),
  });

  /** One more rule, in the next version of the list. */
  async function allow(
    tx: Transaction,
    response: Response,
    wish: Pick<EgressRule, 'organization_id' | 'workspace_id' | 'host'> & { readonly seconds: number | null },
  ): Promise<EgressRule> {
    const now = clock.now();
    const { seconds, ...named } = wish;
    const version = await nextVersion(tx, wish.organization_id);
    if ((await rulesOf(tx, wish.organization_id, now)).length >= mostRules) throw tooMany();
    const rule: EgressRule = {
      ...named,
      id: uuidv7(clock),
      added_in: version,
      removed_in: null,
      created_by: actorOf(response),
      created_at: now,
      expires_at: seconds === null ? null : new Date(now.getTime() + seconds * 1_000),
    };
    await addRule(tx, rule);
    await audit.append(tx, {
      ...event(response, 'egress.allowed', { type: 'egress_rule', id: rule.id }, wish.organization_id),
      data: {
        host: rule.host,
        workspace_id: rule.workspace_id,
        version,
        expires_at: rule.expires_at?.toISOString() ?? null,
      },
    });
    return rule;
  }

  async function ask(request: Request, response: Response): Promise<EgressRequest> {
    const workspace = await parts.workspaceOf(response, pathParameter(request, 'workspaceId'));
    const { host, why } = parse(askBody, request.body ?? {}, 'The request');
    return await database.transaction(async (tx) => {
      const wanted: EgressRequest = {
        id: uuidv7(clock),
        organization_id: workspace.organizationId,
        workspace_id: workspace.id,
        host,
        why,
        state: 'waiting',
        asked_by: (response.locals['actor'] as Actor).id,
        asked_at: clock.now(),
        decided_by: null,
        decided_at: null,
        rule_id: null,
      };
      const held = await addRequest(tx, wanted);
      if (held.id !== wanted.id) return held;
      await audit.append(tx, {
        ...event(response, 'egress.requested', { type: 'egress_request', id: held.id }, workspace.organizationId),
        workspaceId: workspace.id,
        data: { host },
      });
      return held;
    });
  }

  async function decide(request: Request, response: Response): Promise<EgressRequest> {
    const id = pathParameter(request, 'id');
    if (!isUuid(id)) throw notFound(`Request '${id}'`);
    const organizationId = await admit(request, response, {
      action: 'egress.decided',
      target: { type: 'egress_request', id },
    });
    const { decision, scope, expires_in_seconds: seconds } = parse(decisionBody, request.body ?? {}, 'The decision');
    return await database.transaction(async (tx) => {
      const found = await findRequest(tx, id);
      if (found === undefined || found.organization_id !== organizationId) throw notFound(`Request '${id}'`);
      if (found.state !== 'waiting') throw decided(found.state);
      const { workspace_id: workspaceId, host } = found;
      const wish = {
        organization_id: organizationId,
        workspace_id: scope === 'workspace' ? workspaceId : null,
        host,
        seconds,
      };
      const rule = decision === 'approve' ? await allow(tx, response, wish) : null;
      await audit.append(tx, {
        ...event(response, 'egress.decided', { type: 'egress_request', id }, organizationId),
        workspaceId,
        data: { host, decision, scope },
      });
      return await settleRequest(tx, id, {
        state: decision === 'approve' ? 'approved' : 'denied',
        decided_by: actorOf(response),
        decided_at: clock.now(),
        rule_id: rule?.id ?? null,
      });
    });
  }

  return [
    {
      method: 'get',
      path: `${base}/workspaces/:workspaceId/egress/blocked`,
      guard: 'user',
      summary: 'Lists the hosts that a workspace was refused, the latest first.',
      shape: { answers: { 200: listAnswer(blockedShape) } },
      handler: async (request, response) => {
        const { id } = await parts.workspaceOf(response, pathParameter(request, 'workspaceId'));
        const items = (await blockedOf(database, id)).map((one) => ({
          ...one,
          first_at: one.first_at.toISOString(),
          last_at: one.last_at.toISOString(),
        }));
        response.json({ items, next_cursor: null });
      },
    },
    {
      method: 'post',
      path: `${base}/workspaces/:workspaceId/egress/requests`,
      guard: 'user',
      summary: 'Asks that a workspace may reach a host. The same again is the same request while it waits.',
      shape: { body: askBody, answers: { 201: requestShape } },
      handler: async (request, response) => {
        response.status(201).json(presentRequest(await ask(request, response)));
      },
    },
    {
      method: 'get',
      path: `${base}/egress/requests`,
      guard: 'user',
      summary: 'Lists requests for hosts, newest first: all of the organization for its admins, else your own.',
      shape: { query: listQuery, answers: { 200: listAnswer(requestShape) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const organizationId = organizationAsked(request, response);
        const isAdmin = await parts.mayAdminister(request, response, organizationId);
        const items = await listRequests(database, {
          organizationId,
          limit,
          ...(isAdmin ? {} : { askedBy: (response.locals['actor'] as Actor).id }),
          ...(cursor === undefined ? {} : { cursor }),
        });
        const ids = items.map(({ id }) => id);
        response.json({ items: items.map(presentRequest), next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'post',
      path: `${base}/egress/requests/:id/decision`,
      guard: 'user',
      summary: 'Approves or denies a request for a host; an organization admin does.',
      shape: { body: decisionBody, answers: { 200: requestShape } },
      handler: async (request, response) => {
        response.json(presentRequest(await decide(request, response)));
      },
    },
    {
      method: 'get',
      path: `${base}/egress/rules`,
      guard: 'user',
      summary: 'Lists the hosts that workspaces of your organization may reach beside those of their templates.',
      shape: { answers: { 200: listAnswer(ruleShape).extend({ version: z.number() }) } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        const items = (await rulesOf(database, organizationId, clock.now())).map(presentRule);
        response.json({ items, next_cursor: null, version: await versionOf(database, organizationId) });
      },
    },
    {
      method: 'post',
      path: `${base}/egress/rules`,
      guard: 'user',
      summary: 'Lets workspaces of the organization, or one of them, reach a host; an organization admin does.',
      shape: { body: ruleBody, answers: { 201: ruleShape } },
      handler: async (request, response) => {
        const {
          host,
          workspace_id: workspaceId,
          expires_in_seconds: seconds,
        } = parse(ruleBody, request.body ?? {}, 'The rule');
        const target = { type: 'egress_rule', id: host };
        const organizationId = await admit(request, response, { action: 'egress.allowed', target });
        const wish = { organization_id: organizationId, workspace_id: workspaceId, host, seconds };
        const rule = await database.transaction((tx) => allow(tx, response, wish));
        response.status(201).json(presentRule(rule));
      },
    },
    {
      method: 'delete',
      path: `${base}/egress/rules/:id`,
      guard: 'user',
      summary: 'Takes a host off the list; open connections to it stay until they end.',
      shape: { answers: { 204: null } },
      handler: async (request, response) => {
        const id = pathParameter(request, 'id');
        if (!isUuid(id)) throw notFound(`Rule '${id}'`);
        const target = { type: 'egress_rule', id };
        const organizationId = await admit(request, response, { action: 'egress.removed', target });
        await database.transaction(async (tx) => {
          const version = await nextVersion(tx, organizationId);
          const rule = await removeRule(tx, organizationId, id, version);
          if (rule === undefined) throw notFound(`Rule '${id}'`);
          await audit.append(tx, {
            ...event(response, 'egress.removed', target, organizationId),
            data: { host: rule.host, version },
          });
        });
        response.status(204).end();
      },
    },
  ];
}

const presentRequest = ({ organization_id: _organization, asked_at, decided_at, ...plain }: EgressRequest) => ({
  ...plain,
  asked_at: asked_at.toISOString(),
  decided_at: decided_at?.toISOString() ?? null,
});

const presentRule = ({ id, workspace_id, host, added_in, created_by, created_at, expires_at }: EgressRule) => ({
  ...{ id, workspace_id, host, added_in, created_by },
  created_at: created_at.toISOString(),
  expires_at: expires_at?.toISOString() ?? null,
});

const decided = (state: string): ServiceError =>
  new ServiceError('conflict', 'request_decided', `The request is ${state} already. Ask again, or change the list.`);

const tooMany = (): ServiceError =>
  new ServiceError('unprocessable', 'too_many_rules', `The list holds ${String(mostRules)} hosts. Remove some first.`);
