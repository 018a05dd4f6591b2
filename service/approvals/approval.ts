import { z } from 'zod';
import { answers, type Answer, type Ask, type AttemptRef, type Decision } from '../../modules/contract.ts';
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
 * pending   → decided (a person, a rule, an answer given before) | expired (its deadline) | withdrawn (its attempt ended)
 * The other three are final. An expired approval is a rejection. A pending one is `parked` once it has outlived the time
 * it may hold its attempt: the attempt ends, and the answer is for the next one.
 */
export type ApprovalState = 'pending' | 'decided' | 'expired' | 'withdrawn';

/** What becomes of an attempt whose question nobody answers in time. */
export const unansweredEnds = ['park', 'reject', 'stop'] as const;
export type Unanswered = (typeof unansweredEnds)[number];

/** Who decided: a person now, the person's answer to the same call before it was parked, a rule, or the organization's list. */
export const decidedVias = ['person', 'earlier_answer', 'rule', 'policy'] as const;
export type DecidedVia = (typeof decidedVias)[number];

/** `task_id` is that of the workflow-to-be where `kind` is `workflow`. */
export interface Approval extends AttemptRef {
  readonly id: string;
  readonly askId: string;
  readonly kind: ApprovalKind;
  readonly title: string;
  readonly detail: Readonly<Record<string, unknown>>;
  /** SHA-256 of what was asked; ties a decision to exactly one call. */
  readonly detailHash: string;
  /** SHA-256 of the call alone, without the ids that are new each time it is made. */
  readonly callHash: string;
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
  /** Until when it may hold its attempt; null where it holds none. */
  readonly holdUntil: Date | null;
  readonly unanswered: Unanswered;
  readonly parkedAt: Date | null;
  readonly decidedVia: DecidedVia | null;
  /** Whether the person said `always`: the same call of this task is not asked about again. */
  readonly isRemembered: boolean;
}

export const hashDetail = (kind: ApprovalKind, detail: unknown): string => canonicalHash([kind, detail]);

/** Ids that the harness makes anew for the same call. */
const namesOfOneCall: readonly string[] = ['call_id', 'session_id'];

export const hashCall = (kind: ApprovalKind, detail: Readonly<Record<string, unknown>>): string =>
  canonicalHash([kind, Object.fromEntries(Object.entries(detail).filter(([name]) => !namesOfOneCall.includes(name)))]);

/** How a decision is called where people read it. */
export const decisionWord = ({ decision, isRemembered }: Pick<Approval, 'decision' | 'isRemembered'>): Answer | null =>
  decision === 'once' && isRemembered ? 'always' : decision;

export const alreadySettled = (approval: Approval): ServiceError =>
  new ServiceError(
    'conflict',
    'approval_settled',
    `This approval is already ${approval.state}${approval.decision ? ` (${approval.decision})` : ''}. Nothing was changed.`,
  );

export const notForAlways = (): ServiceError =>
  new ServiceError(
    'invalid',
    'always_not_possible',
    'Only what a running task asks can be allowed always, because it is remembered for that call of that task. Send once.',
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
    decision: z.enum(answers).nullable(),
    decided_by: z.string().nullable(),
    decided_via: z.enum(decidedVias).nullable(),
    message: z.string().nullable(),
    asked_at: z.iso.datetime(),
    hold_until: z.iso.datetime().nullable(),
    parked_at: z.iso.datetime().nullable(),
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
  decision: decisionWord(approval),
  decided_by: approval.decidedBy,
  decided_via: approval.decidedVia,
  message: approval.message,
  asked_at: approval.askedAt.toISOString(),
  hold_until: approval.holdUntil?.toISOString() ?? null,
  parked_at: approval.parkedAt?.toISOString() ?? null,
  expires_at: approval.expiresAt.toISOString(),
  settled_at: approval.settledAt?.toISOString() ?? null,
});
