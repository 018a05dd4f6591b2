import type { Ask, AttemptRef, Decision } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { alreadySettled, hashDetail, tooLate, type Approval, type ApprovalKind } from './approval.ts';
import { dueWithoutTask, insertApproval, pendingOfTask, readApproval, settlePending } from './approval-store.ts';

/** Asks, decisions and deadlines. */
export interface Approvals {
  /** Stores a question with its deadline. Asking again is harmless. */
  request(tx: Transaction, request: ApprovalRequest): Promise<{ approval: Approval; isNew: boolean }>;
  /**
   * Records a person's decision. The same decision again is harmless; another one is a `conflict`, and so is `once`
   * after the deadline, seen by whoever ends it or not. `then` runs in place of what follows from the decisions of tasks.
   */
  decide(
    tx: Transaction,
    approval: Approval,
    by: { actorId: string; decision: Decision; message: string | null; requestId: string; then?: ApprovalHook },
  ): Promise<Approval>;
  /** Expires what is past its deadline; answers when the next one is due. */
  expireDue(tx: Transaction, taskId: string): Promise<{ nextDueAt: Date | null; pending: number }>;
  /** Expires drafts of workflows and commands that waited too long; no task looks after them. */
  expireWithoutTask(tx: Transaction): Promise<void>;
  /** Ends the open questions of a task whose attempt is over. */
  withdraw(tx: Transaction, taskId: string): Promise<void>;
}

export interface ApprovalRequest extends AttemptRef {
  readonly ask: Omit<Ask, 'kind'> & { readonly kind: ApprovalKind };
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  /** How long it waits, where that is not what a task's question does. */
  readonly forMs?: number;
  /** Who asks; left out, the bridge of the workspace. */
  readonly actor?: string;
}

/** Runs in the transaction that settled the approval. */
export type ApprovalHook = (tx: Transaction, approval: Approval) => Promise<void>;

export function makeApprovals(parts: {
  audit: AuditLog;
  clock: Clock;
  askMs: number;
  /** Locks the task first, so that a decision and the attempt's own turn never wait for each other. */
  lockTask: (tx: Transaction, taskId: string) => Promise<unknown>;
  onSettled: ApprovalHook;
}): Approvals {
  const { audit, clock, askMs, onSettled, lockTask } = parts;

  const auditSettled = (tx: Transaction, approval: Approval, actor: string, requestId: string | null) =>
    audit.append(tx, {
      actor,
      action: `approval.${approval.state}`,
      target: { type: 'approval', id: approval.id },
      outcome: approval.decision === 'once' ? 'success' : 'denied',
      ownerId: approval.ownerId,
      organizationId: approval.organizationId,
      workspaceId: approval.workspaceId,
      requestId,
      data: {
        task_id: approval.task_id,
        attempt: approval.attempt,
        kind: approval.kind,
        decision: approval.decision,
        detail_hash: approval.detailHash,
      },
    });

  async function expire(tx: Transaction, approval: Approval, now: Date): Promise<void> {
    const expired = await settlePending(tx, approval.id, {
      state: 'expired',
      decision: 'reject',
      decidedBy: null,
      message: 'Nobody decided in time.',
      now,
    });
    if (!expired) return;
    await auditSettled(tx, expired, 'service', null);
    if (expired.kind !== 'workflow') await onSettled(tx, expired);
  }

  return {
    async request(tx, { ask, task_id, attempt, workspaceId, ownerId, organizationId, forMs = askMs, actor }) {
      const now = clock.now();
      const stored = await insertApproval(tx, {
        id: uuidv7(clock),
        task_id,
        attempt,
        askId: ask.ask_id,
        kind: ask.kind,
        title: ask.title,
        detail: ask.detail,
        detailHash: hashDetail(ask.kind, ask.detail),
        workspaceId,
        ownerId,
        organizationId,
        askedAt: now,
        expiresAt: new Date(now.getTime() + forMs),
      });
      if (stored.isNew)
        await audit.append(tx, {
          actor: actor ?? `bridge:${workspaceId}`,
          action: 'approval.requested',
          target: { type: 'approval', id: stored.approval.id },
          outcome: 'success',
          ownerId,
          organizationId,
          workspaceId,
          data: { task_id, attempt, kind: ask.kind, detail_hash: stored.approval.detailHash },
        });
      return stored;
    },

    async decide(tx, approval, { actorId, decision, message, requestId, then = onSettled }) {
      if (decision === 'once' && approval.state === 'pending' && approval.expiresAt <= clock.now()) throw tooLate();
      await lockTask(tx, approval.task_id);
      const decided = await settlePending(tx, approval.id, {
        state: 'decided',
        decision,
        decidedBy: actorId,
        message,
        now: clock.now(),
      });
      if (!decided) {
        const settled = (await readApproval(tx, approval.id)) ?? approval;
        if (settled.state === 'decided' && settled.decision === decision) return settled;
        throw alreadySettled(settled);
      }
      await auditSettled(tx, decided, `user:${actorId}`, requestId);
      await then(tx, decided);
      return decided;
    },

    async expireDue(tx, taskId) {
      const now = clock.now();
      const pending = await pendingOfTask(tx, taskId);
      const due = pending.filter((one) => one.expiresAt <= now);
      for (const approval of due) await expire(tx, approval, now);
      const open = pending.filter((one) => one.expiresAt > now);
      const next = open.map((one) => one.expiresAt.getTime());
      return { nextDueAt: next.length > 0 ? new Date(Math.min(...next)) : null, pending: open.length };
    },

    async expireWithoutTask(tx) {
      const now = clock.now();
      for (const approval of await dueWithoutTask(tx, now)) await expire(tx, approval, now);
    },

    async withdraw(tx, taskId) {
      for (const approval of await pendingOfTask(tx, taskId)) {
        const withdrawn = await settlePending(tx, approval.id, {
          state: 'withdrawn',
          decision: 'reject',
          decidedBy: null,
          message: 'The attempt that asked is over.',
          now: clock.now(),
        });
        if (withdrawn) await auditSettled(tx, withdrawn, 'service', null);
      }
    },
  };
}
