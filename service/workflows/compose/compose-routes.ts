import type { Request, Response } from 'express';
import type { Approval } from '../../approvals/approval.ts';
import type { Approvals } from '../../approvals/approvals.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import { callerOf } from '../../identity/identity.ts';
import { uuidv7 } from '../../platform/clock.ts';
import { parse, requestId, type Route } from '../../platform/http.ts';
import { once, replay, type StoredAnswer } from '../../platform/idempotency.ts';
import { compose, type ComposeParts, type Composition } from './compose-workflow.ts';
import { composeBody, readableDraft } from './composition.ts';
import { askForApproval } from './start-draft.ts';
import { draftAnswer } from '../workflow-shape.ts';

export interface ComposeRouteParts extends ComposeParts {
  readonly audit: AuditLog;
  readonly approvals: Pick<Approvals, 'request'>;
}

export function composeRoutes(parts: ComposeRouteParts): Route[] {
  return [
    {
      method: 'post',
      path: '/api/v2/agents/agentzero/compose',
      guard: 'user',
      summary: 'Turns a goal into a draft of a workflow with its estimate; it runs only after its owner approved it.',
      shape: { body: composeBody, answers: { 200: draftAnswer, 202: draftAnswer } },
      handler: (request, response) => answerDraft(parts, request, response),
    },
  ];
}

/** 200 with a draft; with `execute`, 202 and the approval that starts it. */
async function answerDraft(parts: ComposeRouteParts, request: Request, response: Response): Promise<void> {
  const caller = callerOf(response);
  const key = request.get('Idempotency-Key');
  const asked = { actor: caller.actor.id, route: 'POST agentzero/compose', key, body: request.body as unknown };
  const first = await replay(parts.database, asked);
  const answer = first ?? (await draft(parts, request, response, asked));
  const { approval_id: approvalId } = answer.body as { approval_id: string | null };
  if (approvalId !== null) response.location(`/api/v2/agents/approvals/${approvalId}`);
  response.status(answer.status).json(answer.body);
}

async function draft(
  parts: ComposeRouteParts,
  request: Request,
  response: Response,
  asked: Parameters<typeof once>[2],
): Promise<StoredAnswer> {
  const caller = callerOf(response);
  const id = requestId(response);
  const body = parse(composeBody, request.body, 'The request');
  const composition = await compose(parts, caller, body, uuidv7(parts.clock), id);
  const { workspace } = composition.place;
  return parts.database.transaction((tx) =>
    once(tx, parts.clock, asked, async () => {
      await parts.audit.append(tx, {
        actor: `user:${caller.actor.id}`,
        action: 'workflow.composed',
        target: { type: 'composition', id: composition.id },
        outcome: 'success',
        ownerId: caller.actor.id,
        organizationId: workspace.organizationId,
        workspaceId: workspace.id,
        requestId: id,
        data: { source: composition.source, steps: composition.draft.steps.length, execute: body.execute },
      });
      if (!body.execute) return { status: 200, body: present(composition, null) };
      const approval = await askForApproval(tx, parts.approvals, caller, body, composition);
      return { status: 202, body: present(composition, approval) };
    }),
  );
}

const present = (composition: Composition, approval: Approval | null) => ({
  id: composition.id,
  source: composition.source,
  draft: readableDraft(composition.draft),
  explanation: composition.explanation,
  warnings: composition.warnings,
  graph: composition.plan.graph,
  estimate: composition.plan.estimate,
  approval_id: approval?.id ?? null,
  /** What the workflow will be called once its approval is decided. */
  workflow_id: approval && composition.id,
  expires_at: approval?.expiresAt.toISOString() ?? null,
});
