import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { AuditEntry } from '../audit/audit-event.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Database } from '../platform/database.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { parse, requestId } from '../platform/http.ts';

export interface OrganizationAdminParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  /** Whether the caller administers this organization: Coder's word. */
  readonly mayAdminister: (request: Request, response: Response, organizationId: string) => Promise<boolean>;
}

/** Answers the organization a request is about, once its admin is seen to ask; audits and refuses anybody else. */
export type AdmitOrganizationAdmin = (
  request: Request,
  response: Response,
  what: Pick<AuditEntry, 'action' | 'target'>,
) => Promise<string>;

/** Query of what belongs to an organization: needed only by members of several. */
export const organizationQuery = z.object({ organization_id: z.uuid().optional() });

export const organizationAsked = (request: Request, response: Response): string =>
  chooseOrganization(
    response.locals['actor'] as Actor,
    parse(organizationQuery, request.query, 'The query').organization_id,
  );

/** The organization a request is about, for its members. Throws `not_found` for anybody else. */
export function organizationOfMember(request: Request, response: Response): string {
  const organizationId = organizationAsked(request, response);
  if ((response.locals['actor'] as Actor).organizationIds.includes(organizationId)) return organizationId;
  throw notFound(`Organization '${organizationId}'`);
}

export function makeAdmitOrganizationAdmin(parts: OrganizationAdminParts): AdmitOrganizationAdmin {
  const { database, audit, mayAdminister } = parts;
  return async (request, response, what) => {
    const organizationId = organizationAsked(request, response);
    if (await mayAdminister(request, response, organizationId)) return organizationId;
    const refusal = { ...what, actor: actorOf(response), outcome: 'denied' as const, requestId: requestId(response) };
    await database.transaction((tx) => audit.append(tx, { ...refusal, organizationId }));
    throw mustAdminister();
  };
}

export const actorOf = (response: Response): string => `user:${(response.locals['actor'] as Actor).id}`;

export function chooseOrganization(caller: Actor, asked: string | undefined): string {
  // As Coder and the database write it: values are sealed for the name of their place, letter by letter.
  const chosen = asked?.toLowerCase() ?? (caller.organizationIds.length === 1 ? caller.organizationIds[0] : undefined);
  if (chosen === undefined)
    throw new ServiceError(
      'invalid',
      'organization_missing',
      `You belong to ${caller.organizationIds.length} organizations, so which one is meant is not known. Send organization_id.`,
    );
  return chosen;
}

const mustAdminister = (): ServiceError =>
  new ServiceError(
    'forbidden',
    'organization_admin_required',
    'Agents, their credentials and their limits belong to the whole organization, and you do not administer it. Ask an organization admin.',
  );
