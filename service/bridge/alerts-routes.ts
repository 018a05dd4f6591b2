import { z } from 'zod';
import type { AuditTables } from '../audit/audit-tables.ts';
import { parse, type Route } from '../platform/http.ts';
import { makeAdmitOrganizationAdmin, type OrganizationAdminParts } from '../secrets/organization-admin.ts';

/** What an admin should look at; the event's data says what it is. */
export const alertAction = 'bridge.alerted';

const query = z.object({ limit: z.coerce.number().int().min(1).max(200).default(50) });

const shapeOfQuery = query.extend({ organization_id: z.uuid().optional() });

const alert = z
  .strictObject({
    id: z.uuid(),
    at: z.iso.datetime(),
    owner_id: z.string().nullable(),
    workspace_id: z.string().nullable(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Alert' });

/** `GET /api/v2/agents/alerts`: what happened in workspaces of an organization that its admins should look at. */
export function alertsRoute(parts: OrganizationAdminParts): Route {
  return {
    method: 'get',
    path: '/api/v2/agents/alerts',
    guard: 'user',
    summary: "Lists what an organization's admins should look at, newest first: two bridges of one build.",
    shape: { query: shapeOfQuery, answers: { 200: z.strictObject({ items: z.array(alert), next_cursor: z.null() }) } },
    handler: async (request, response) => {
      const { limit } = parse(query, request.query, 'The query');
      const asked = { action: 'alerts.listed', target: { type: 'alerts', id: '*' } };
      const organizationId = await makeAdmitOrganizationAdmin(parts)(request, response, asked);
      const rows = await parts.database
        .as<AuditTables>()
        .selectFrom('audit_event')
        .select(['id', 'at', 'owner_id', 'workspace_id', 'data'])
        .where('organization_id', '=', organizationId)
        .where('action', '=', alertAction)
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      const items = rows.map(({ at, ...row }) => ({ ...row, at: at.toISOString() }));
      response.json({ items, next_cursor: null });
    },
  };
}
