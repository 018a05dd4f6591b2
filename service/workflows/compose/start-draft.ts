import type { Decision } from '../../../modules/contract.ts';
import type { Approval } from '../../approvals/approval.ts';
import type { ApprovalHook, Approvals } from '../../approvals/approvals.ts';
import type { Caller } from '../../identity/identity.ts';
import { ServiceError, notFound } from '../../platform/errors.ts';
import { parse } from '../../platform/http.ts';
import type { Transaction } from '../../platform/database.ts';
import { submitterOf } from '../../tasks/accept-task.ts';
import { checkWorkflow, startWorkflow, workflowBody, type CheckParts, type StartParts } from '../submit-workflow.ts';
import { readableDraft, type ComposeBody } from './composition.ts';
import type { Composition } from './compose-workflow.ts';

/** How long a draft waits for its owner: prices, rules and the repository are others later. */
const draftMs = 24 * 3_600_000;

/** Asks its owner whether a draft may run. Its id is the workflow's, once it does. */
export async function askForApproval(
  tx: Transaction,
  approvals: Pick<Approvals, 'request'>,
  caller: Caller,
  { goal }: Pick<ComposeBody, 'goal'>,
  { id, source, draft, plan, explanation, warnings, place }: Composition,
): Promise<Approval> {
  const workflow = readableDraft(draft);
  const { approval } = await approvals.request(tx, {
    ...{ task_id: id, attempt: 1, forMs: draftMs, actor: `user:${caller.actor.id}` },
    ask: {
      ask_id: 'start',
      kind: 'workflow',
      title: `Run the workflow "${draft.name}" of ${draft.steps.length} steps`,
      detail: { goal, source, explanation, warnings, estimate: plan.estimate, workflow },
    },
    ...{ workspaceId: place.workspace.id, ownerId: caller.actor.id },
    organizationId: place.workspace.organizationId,
  });
  return approval;
}

/**
 * What a decision about a draft does, in the transaction of the decision; null for an approval of any other kind.
 *
 * Order    the draft is checked again, with the rights of its owner now, before anything is decided.
 * Errors   `not_found` for anybody but its owner, whose name and rights it would run with; what a submission answers.
 */
export const makeStartDraft =
  (parts: CheckParts & StartParts) =>
  async (approval: Approval, caller: Caller, decision: Decision, requestId: string): Promise<ApprovalHook | null> => {
    if (approval.kind !== 'workflow') return null;
    if (approval.ownerId !== caller.actor.id) throw notFound(`Approval '${approval.id}'`);
    // A decision that is there already is answered again, and starts nothing.
    if (decision === 'reject' || approval.state !== 'pending') return () => Promise.resolve();
    if (approval.expiresAt <= parts.clock.now()) throw draftExpired();
    const { workflow, estimate } = approval.detail as {
      workflow: object;
      estimate: { cost_micro_usd: { high: number } | null };
    };
    // The owner has seen the estimate, and agrees to no more than that.
    const agreed = estimate.cost_micro_usd === null ? {} : { approved_cost_micro_usd: estimate.cost_micro_usd.high };
    const body = parse(workflowBody, { ...workflow, ...agreed }, 'The draft');
    const checked = await checkWorkflow(parts, caller, body, requestId);
    return async (tx) => {
      await startWorkflow(tx, parts, submitterOf(caller), checked, requestId, approval.task_id);
    };
  };

const draftExpired = (): ServiceError =>
  new ServiceError(
    'conflict',
    'draft_expired',
    'This draft waited for more than a day, and its estimate and its checks are old. Compose it again.',
  );
