import { createHash } from 'node:crypto';
import type { Ask, AttemptRef, Decision } from '../../modules/contract.ts';
import { ServiceError } from '../platform/errors.ts';

/**
 * A question of a running task.
 *
 * pending   → decided (a person) | expired (its deadline) | withdrawn (its attempt ended)
 * The other three are final. An expired approval is a rejection.
 */
export type ApprovalState = 'pending' | 'decided' | 'expired' | 'withdrawn';

export interface Approval extends AttemptRef {
  readonly id: string;
  readonly askId: string;
  readonly kind: Ask['kind'];
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

export const hashDetail = (kind: Ask['kind'], detail: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify([kind, sortKeys(detail)]))
    .digest('hex');

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, one]) => [key, sortKeys(one)]),
  );
}

export const alreadySettled = (approval: Approval): ServiceError =>
  new ServiceError(
    'conflict',
    'approval_settled',
    `This approval is already ${approval.state}${approval.decision ? ` (${approval.decision})` : ''}. Nothing was changed.`,
  );

export const present = (approval: Approval) => ({
  id: approval.id,
  task_id: approval.task_id,
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
