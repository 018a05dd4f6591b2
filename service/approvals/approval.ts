import { z } from 'zod';
import { decisions, type Ask, type AttemptRef, type Decision } from '../../modules/contract.ts';
import { canonicalHash } from '../platform/canonical.ts';
import { ServiceError } from '../platform/errors.ts';

/**
 * What is asked about: what an agent would do, a workflow that waits to be started, a step that waits to begin, or a
 * command to the bridge of a workspace.
 */
export type ApprovalKind = Ask['kind'] | 'workflow' | 'step' | 'command';

/**
 * A question that a person must decide: of a running task, or whether a workflow starts.
 *
 * pending   → decided (a person) | expired (its deadline) | withdrawn (its attempt ended)
 * The other three are final. An expired approval is a rejection.
 */
export type ApprovalState = 'pending' | 'decided' | 'expired' | 'withdrawn';

/** `task_id` is that of the workflow-to-be where `kind` is `workflow`. */
export interface Approval extends AttemptRef {
  readonly id: string;
  readonly askId: string;
  readonly kind: ApprovalKind;
  readonly title: string;
  readonly detail: Readonly<Record<string, unknown>>;
  /** SHA-256 of what was asked; ties a decision to exactly one call. */
  readonly detailHash: string;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  readonly state: ApprovalState;
  readonly decision: Decision | null;
  readonly decidedBy: string | null;
  readonly message: string | null;
  readonly askedAt: Date;
  readonly expiresAt: Date;
  readonly settledAt: Date | null;
}

export const hashDetail = (kind: ApprovalKind, detail: unknown): string => canonicalHash([kind, detail]);

export const alreadySettled = (approval: Approval): ServiceError =>
  new ServiceError(
    'conflict',
    'approval_settled',
    `This approval is already ${approval.state}${approval.decision ? ` (${approval.decision})` : ''}. Nothing was changed.`,
  );

export const tooLate = (): ServiceError =>
  new ServiceError(
    'conflict',
    'approval_expired',
    'This approval waited past its deadline and counts as rejected. Nothing was changed.',
  );

/** A question as callers see it. */
export const approvalAnswer = z
  .strictObject({
    id: z.string(),
    task_id: z.string().nullable(),
    workflow_id: z.string().nullable(),
    attempt: z.number().int(),
    kind: z.enum(['permission', 'question', 'verify', 'workflow', 'step', 'command']),
    title: z.string(),
    detail: z.record(z.string(), z.unknown()),
    detail_hash: z.string(),
    workspace_id: z.string(),
    state: z.enum(['pending', 'decided', 'expired', 'withdrawn']),
    decision: z.enum(decisions).nullable(),
    decided_by: z.string().nullable(),
    message: z.string().nullable(),
    asked_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    settled_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Approval' });

/** Their `task_id` is the id of what they are about. */
const withoutTask: ReadonlySet<ApprovalKind> = new Set(['workflow', 'command']);

export const present = (approval: Approval) => ({
  id: approval.id,
  task_id: withoutTask.has(approval.kind) ? null : approval.task_id,
  workflow_id: approval.kind === 'workflow' ? approval.task_id : null,
  attempt: approval.attempt,
  kind: approval.kind,
  title: approval.title,
  detail: approval.detail,
  detail_hash: approval.detailHash,
  workspace_id: approval.workspaceId,
  state: approval.state,
  decision: approval.decision,
  decided_by: approval.decidedBy,
  message: approval.message,
  asked_at: approval.askedAt.toISOString(),
  expires_at: approval.expiresAt.toISOString(),
  settled_at: approval.settledAt?.toISOString() ?? null,
});
