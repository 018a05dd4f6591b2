import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import { isUuid } from '../platform/clock.ts';
import { nextCursor, parse, type Route } from '../platform/http.ts';
import { makeAdmitOrganizationAdmin, type OrganizationAdminParts } from '../secrets/organization-admin.ts';
import { usageBy, usageBys, usageTotal } from './usage-store.ts';

const count = z.number().int().nonnegative();
const usage = {
  input_tokens: count,
  cached_tokens: count,
  output_tokens: count,
  reasoning_tokens: count,
  calls: count,
  tool_calls: count,
  cost_micro_usd: count,
  unpriced_calls: count.meta({ description: 'Calls whose cost nobody knows; it is missing in cost_micro_usd.' }),
  estimated_calls: count.meta({ description: 'Calls that count as the most they can have used.' }),
};
const query = z.object({
  by: z.enum(usageBys).default('task'),
  scope: z.enum(['mine', 'organization']).default('mine'),
  organization_id: z.uuid().optional(),
  task_id: z.uuid().optional(),
  user_id: z.uuid().optional(),
  model: z.string().min(1).max(200).optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(200).optional(),
});
/** Only models go by names; what else is summed up has an id. */
const checkedQuery = query.refine(({ by, cursor }) => by === 'model' || cursor === undefined || isUuid(cursor), {
  path: ['cursor'],
  message: 'must be the next_cursor of the answer before; leave it out to begin at the first',
});
const answer = z.strictObject({
  by: z.enum(usageBys),
  items: z.array(z.strictObject({ key: z.string(), ...usage })),
  total: z.strictObject(usage).meta({ description: 'The sum over all pages, counted on its own.' }),
  next_cursor: z.string().nullable(),
});

/** What model calls have used, as the gateway counted it: a person's own, or for its admins all of an organization. */
export function usageRoutes(parts: OrganizationAdminParts): Route[] {
  const admit = makeAdmitOrganizationAdmin(parts);
  return [
    {
      method: 'get',
      path: '/api/v2/agents/usage',
      guard: 'user',
      summary: 'Sums tokens and cost of model calls by task, user, model, workspace or organization.',
      shape: { query, answers: { 200: answer } },
      handler: async (request, response) => {
        const asked = parse(checkedQuery, request.query, 'The query');
        const actor = response.locals['actor'] as Actor;
        const isMine = asked.scope === 'mine';
        const organizationId = isMine
          ? asked.organization_id
          : await admit(request, response, { action: 'usage.read', target: { type: 'organization', id: 'usage' } });
        const filter = {
          organizationId,
          ownerId: isMine ? actor.id : asked.user_id,
          taskId: asked.task_id,
          model: asked.model,
          from: asked.from === undefined ? undefined : new Date(asked.from),
          to: asked.to === undefined ? undefined : new Date(asked.to),
        };
        const db = parts.database.as<unknown>();
        const items = await usageBy(db, asked.by, filter, { limit: asked.limit, cursor: asked.cursor });
        const keys = items.map(({ key }) => key);
        const total = await usageTotal(db, filter);
        response.json({ by: asked.by, items, total, next_cursor: nextCursor(keys, asked.limit) });
      },
    },
  ];
}
