import { z } from 'zod';
import { answers, type Decision } from '../../modules/contract.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf, type Caller } from '../identity/identity.ts';
import { isUuid } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { listAnswer, listQuery, nextCursor, parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { approvalAnswer, present, type Approval } from './approval.ts';
import { listApprovals, readApproval } from './approval-store.ts';
import type { ApprovalHook, Approvals } from './approvals.ts';

const query = listQuery.extend({
  state: z.enum(['pending', 'decided', 'expired', 'withdrawn']).optional(),
  task_id: z.uuid().optional(),
});
const decisionBody = z.strictObject({ decision: z.enum(answers), message: z.string().max(2_000).optional() });

export interface ApprovalRouteParts {
  readonly database: Database;
  readonly approvals: Approvals;
  readonly authorize: Authorize;
  /** What a later room does with a decision, in its transaction; null leaves it to the tasks. May refuse by throwing. */
  readonly onDecision: (
    approval: Approval,
    caller: Caller,
    decision: Decision,
    requestId: string,
  ) => Promise<ApprovalHook | null>;
}

export function approvalsRoutes(parts: ApprovalRouteParts): Route[] {
  const { database, approvals, authorize, onDecision } = parts;
  return [
    {
      method: 'get',
      path: '/api/v2/agents/approvals',
      guard: 'user',
      summary: 'Lists the questions that wait for you, newest first: of running tasks, and whether a draft may start.',
      shape: { query, answers: { 200: listAnswer(approvalAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor, state, task_id: taskId } = parse(query, request.query, 'The query');
        const items = await listApprovals(database, {
          ownerId: callerOf(response).actor.id,
          limit,
          cursor,
          state,
          taskId,
        });
        response.json({
          items: items.map(present),
          next_cursor: nextCursor(
            items.map(({ id }) => id),
            limit,
          ),
        });
      },
    },
    {
      method: 'post',
      path: '/api/v2/agents/approvals/:approvalId/decision',
      guard: 'user',
      summary: 'Decides a question: once, always (this call of this task) or reject.',
      shape: { body: decisionBody, answers: { 200: approvalAnswer } },
      handler: async (request, response) => {
        const caller = callerOf(response);
        const id = pathParameter(request, 'approvalId');
        const { decision, message } = parse(decisionBody, request.body, 'The decision');
        const approval = isUuid(id) ? await readApproval(database, id) : null;
        if (!approval) throw notFound(`Approval '${id}'`);
        await authorize.act(caller, { what: `Approval '${id}'`, ...approval }, requestId(response));
        const then = await onDecision(approval, caller, decision === 'reject' ? 'reject' : 'once', requestId(response));
        const decided = await database.transaction((tx) =>
          approvals.decide(tx, approval, {
            actorId: caller.actor.id,
            decision,
            message: message ?? null,
            requestId: requestId(response),
            ...(then ? { then } : {}),
          }),
        );
        response.json(present(decided));
      },
    },
  ];
}
