import type { Clock } from '../platform/clock.ts';
import { parse, requestId, type Route } from '../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationAsked,
  organizationOfMember,
  type OrganizationAdminParts,
} from '../secrets/organization-admin.ts';
import { policyAnswer, policyBody, policyOf, presentPolicy, readPolicyBody, savePolicy } from './policy.ts';

const path = '/api/v2/agents/approval-policy';

/** What becomes of questions in an organization. Its admins write, members read. */
export function policyRoutes(parts: OrganizationAdminParts & { readonly clock: Clock }): Route[] {
  const { database, audit, clock } = parts;
  const admit = makeAdmitOrganizationAdmin(parts);
  return [
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Reads what becomes of questions that nobody answers, and which commands need no answer.',
      shape: { answers: { 200: policyAnswer } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        response.json(presentPolicy(organizationId, await policyOf(database, organizationId)));
      },
    },
    {
      method: 'put',
      path,
      guard: 'user',
      summary: 'Says what becomes of questions that nobody answers, and which commands need no answer.',
      shape: { body: policyBody, answers: { 200: policyAnswer } },
      handler: async (request, response) => {
        const action = 'approval_policy.written';
        const organizationId = await admit(request, response, {
          action,
          target: { type: 'approval_policy', id: organizationAsked(request, response) },
        });
        const policy = readPolicyBody(parse(policyBody, request.body ?? {}, 'The policy'));
        const actor = actorOf(response);
        await database.transaction(async (tx) => {
          await savePolicy(tx, organizationId, policy, { actor, now: clock.now() });
          await audit.append(tx, {
            actor,
            action,
            target: { type: 'approval_policy', id: organizationId },
            outcome: 'success',
            organizationId,
            requestId: requestId(response),
            data: { unanswered: policy.unanswered, hold_ms: policy.holdMs, commands: policy.allowCommands.length },
          });
        });
        response.json(presentPolicy(organizationId, policy));
      },
    },
  ];
}
