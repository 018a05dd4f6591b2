import type { Response } from 'express';
import { z } from 'zod';
import { parse, requestId, type Route } from '../../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationOfMember,
  type OrganizationAdminParts,
} from '../../secrets/organization-admin.ts';
import { readRetention, saveRetention, usualTranscriptDays } from './retention.ts';

const path = '/api/v2/agents/retention';
const body = z.strictObject({ transcript_days: z.number().int().min(1).max(3_650) });
const retentionShape = z
  .strictObject({
    organization_id: z.uuid(),
    transcript_days: z.number().int(),
    default_transcript_days: z.number().int(),
  })
  .meta({ id: 'Retention' });
const action = 'retention.written';

/** How long an organization keeps transcripts and files of tasks. Its admins write, its members read. */
export function retentionRoutes(parts: OrganizationAdminParts): Route[] {
  const admit = makeAdmitOrganizationAdmin(parts);
  const answer = (response: Response, organizationId: string, days: number): void =>
    void response.json({
      organization_id: organizationId,
      transcript_days: days,
      default_transcript_days: usualTranscriptDays,
    });
  return [
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Tells how long your organization keeps transcripts and files of finished tasks.',
      shape: { answers: { 200: retentionShape } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        answer(response, organizationId, await readRetention(parts.database, organizationId));
      },
    },
    {
      method: 'put',
      path,
      guard: 'user',
      summary: 'Says how many days transcripts and files of finished tasks are kept: 1 to 3650.',
      shape: { body, answers: { 200: retentionShape } },
      handler: async (request, response) => {
        const target = { type: 'retention', id: 'transcript' };
        const organizationId = await admit(request, response, { action, target });
        const { transcript_days: days } = parse(body, request.body ?? {}, 'The retention');
        await parts.database.transaction(async (tx) => {
          const before = await readRetention(tx, organizationId);
          await saveRetention(tx, organizationId, days);
          await parts.audit.append(tx, {
            actor: actorOf(response),
            action,
            target,
            outcome: 'success',
            organizationId,
            requestId: requestId(response),
            data: { transcript_days: days, before },
          });
        });
        answer(response, organizationId, days);
      },
    },
  ];
}
