import type { Answer, Ask, AttemptRef, Decision } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import {
  alreadySettled,
  decisionWord,
  hashCall,
  hashDetail,
  notForAlways,
  tooLate,
  type Approval,
  type ApprovalKind,
  type DecidedVia,
  type Unanswered,
} from './approval.ts';
import {
  dueWithoutTask,
  insertApproval,
  markParked,
  pendingOfTask,
  readApproval,
  settlePending,
  takeAnswer,
} from './approval-store.ts';
import { isListed, policyOf } from './policy.ts';
import { rememberCall, rememberedBy } from './rule-store.ts';

/** Asks, decisions and deadlines. */
export interface Approvals {
  /**
   * Stores a question with its deadlines. Asking again is harmless. It is settled at once where it needs no person:
   * the same call was answered after it had been parked, is remembered for the task, or stands on the organization's list.
   */
  request(tx: Transaction, request: ApprovalRequest): Promise<{ approval: Approval; isNew: boolean }>;
  /**
   * Records a person's decision. The same decision again is harmless; another one is a `conflict`, and so is `once`
   * after the deadline, seen by whoever ends it or not. `then` runs in place of what follows from the decisions of tasks.
   */
  decide(
    tx: Transaction,
    approval: Approval,
    by: { actorId: string; decision: Answer; message: string | null; requestId: string; then?: ApprovalHook },
  ): Promise<Approval>;
  /** Does what is due for a task's questions. */
  expireDue(tx: Transaction, taskId: string): Promise<Due>;
  /** Expires the parked questions of a task that waited too long; false where there are none. */
  expireParked(tx: Transaction, taskId: string): Promise<boolean>;
  /** Expires drafts of workflows and commands that waited too long; no task looks after them. */
  expireWithoutTask(tx: Transaction): Promise<void>;
  /** Ends one question that its harness took back. */
  withdrawOne(tx: Transaction, asked: AttemptRef & { readonly ask_id: string }): Promise<void>;
  /** Ends the open questions of a task whose attempt is over. */
  withdraw(tx: Transaction, taskId: string): Promise<void>;
}

/** How the questions of an attempt stand. */
export interface Due {
  /** When to look again; null where nothing waits. */
  readonly nextDueAt: Date | null;
  readonly pending: number;
  /** What the attempt must do because nobody answered: end and leave the question open, or end for good. */
  readonly unanswered: Exclude<Unanswered, 'reject'> | null;
}

export interface ApprovalRequest extends AttemptRef {
  readonly ask: Omit<Ask, 'kind'> & { readonly kind: ApprovalKind };
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  /** How long it waits, where it holds no attempt. */
  readonly forMs?: number;
  /** Who asks; left out, the bridge of the workspace. */
  readonly actor?: string;
}

/** Runs in the transaction that settled the approval. */
export type ApprovalHook = (tx: Transaction, approval: Approval) => Promise<void>;

export interface ApprovalsParts {
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  /** Locks the task first, so that a decision and the attempt's own turn never wait for each other. */
  readonly lockTask: (tx: Transaction, taskId: string) => Promise<unknown>;
  readonly onSettled: ApprovalHook;
  /** Told of each question that a person must answer. */
  readonly onAsked?: ApprovalHook;
}

export function makeApprovals(parts: ApprovalsParts): Approvals {
  const { audit, clock, onSettled, lockTask, onAsked } = parts;

  const auditAbout = (
    tx: Transaction,
    approval: Approval,
    event: { actor: string; action: string; isGood: boolean; requestId?: string | null; via?: DecidedVia | null },
  ) =>
    audit.append(tx, {
      actor: event.actor,
      action: event.action,
      target: { type: 'approval', id: approval.id },
      outcome: event.isGood ? 'success' : 'denied',
      ownerId: approval.ownerId,
      organizationId: approval.organizationId,
      workspaceId: approval.workspaceId,
      ...(event.requestId === undefined ? {} : { requestId: event.requestId }),
      data: {
        task_id: approval.task_id,
        attempt: approval.attempt,
        kind: approval.kind,
        ...(approval.decision === null ? {} : { decision: decisionWord(approval) }),
        ...(event.via ? { via: event.via } : {}),
        detail_hash: approval.detailHash,
      },
    });
  const auditSettled = (tx: Transaction, approval: Approval, actor: string, requestId: string | null) =>
    auditAbout(tx, approval, {
      actor,
      action: `approval.${approval.state}`,
      isGood: approval.decision === 'once',
      requestId,
      via: approval.decidedVia === 'person' ? null : approval.decidedVia,
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

  async function withdraw(tx: Transaction, approval: Approval, message: string): Promise<Approval | null> {
    const values = { decision: 'reject' as const, decidedBy: null, message, now: clock.now() };
    const withdrawn = await settlePending(tx, approval.id, { state: 'withdrawn', ...values });
    if (withdrawn) await auditSettled(tx, withdrawn, 'service', null);
    return withdrawn;
  }

  /** What was said before of this very call; null where a person must be asked. */
  async function knownAnswer(
    tx: Transaction,
    approval: Approval,
    isAllowed: boolean,
  ): Promise<{ decision: Decision; decidedBy: string | null; message: string | null; decidedVia: DecidedVia } | null> {
    const { task_id: taskId, attempt, callHash } = approval;
    const earlier = await takeAnswer(tx, { taskId, beforeAttempt: attempt, callHash, now: clock.now() });
    if (earlier)
      return {
        decision: earlier.decision ?? 'reject',
        decidedBy: earlier.decidedBy,
        message: earlier.message,
        decidedVia: 'earlier_answer',
      };
    const rememberer = await rememberedBy(tx, taskId, callHash);
    if (rememberer) return { decision: 'once', decidedBy: rememberer, message: null, decidedVia: 'rule' };
    return isAllowed ? { decision: 'once', decidedBy: null, message: null, decidedVia: 'policy' } : null;
  }

  return {
    async request(tx, { ask, task_id, attempt, workspaceId, ownerId, organizationId, forMs, actor }) {
      const now = clock.now();
      const policy = await policyOf(tx, organizationId);
      const holdsAttempt = forMs === undefined;
      const unanswered = holdsAttempt ? policy.unanswered : 'reject';
      const holdUntil = holdsAttempt ? new Date(now.getTime() + policy.holdMs) : null;
      const waitMs = forMs ?? (unanswered === 'park' ? policy.expireMs : policy.holdMs);
      const stored = await insertApproval(tx, {
        id: uuidv7(clock),
        task_id,
        attempt,
        askId: ask.ask_id,
        kind: ask.kind,
        title: ask.title,
        detail: ask.detail,
        detailHash: hashDetail(ask.kind, ask.detail),
        callHash: hashCall(ask.kind, ask.detail),
        workspaceId,
        ownerId,
        organizationId,
        askedAt: now,
        holdUntil,
        unanswered,
        expiresAt: new Date(now.getTime() + waitMs),
      });
      if (!stored.isNew) return stored;
      const asked = { actor: actor ?? `bridge:${workspaceId}`, action: 'approval.requested', isGood: true };
      await auditAbout(tx, stored.approval, asked);
      const known = holdsAttempt
        ? await knownAnswer(tx, stored.approval, isListed(policy, ask.kind, ask.detail))
        : null;
      const settled = known && (await settlePending(tx, stored.approval.id, { state: 'decided', now, ...known }));
      if (settled) {
        await auditSettled(tx, settled, settled.decidedBy ? `user:${settled.decidedBy}` : 'service', null);
        return { approval: settled, isNew: true };
      }
      await onAsked?.(tx, stored.approval);
      return stored;
    },

    async decide(tx, approval, { actorId, decision: answer, message, requestId, then = onSettled }) {
      const isRemembered = answer === 'always';
      const decision = answer === 'reject' ? 'reject' : 'once';
      if (isRemembered && approval.holdUntil === null) throw notForAlways();
      const now = clock.now();
      if (decision === 'once' && approval.state === 'pending' && approval.expiresAt <= now) throw tooLate();
      await lockTask(tx, approval.task_id);
      const decided = await settlePending(tx, approval.id, {
        state: 'decided',
        decision,
        decidedBy: actorId,
        message,
        now,
        decidedVia: 'person',
        isRemembered,
      });
      if (!decided) {
        const settled = (await readApproval(tx, approval.id)) ?? approval;
        if (settled.state === 'decided' && decisionWord(settled) === answer) return settled;
        throw alreadySettled(settled);
      }
      if (isRemembered) await rememberCall(tx, decided, actorId, now);
      await auditSettled(tx, decided, `user:${actorId}`, requestId);
      await then(tx, decided);
      return decided;
    },

    async expireDue(tx, taskId) {
      const now = clock.now();
      const pending = await pendingOfTask(tx, taskId);
      const due = pending.filter((one) => deadlineOf(one) <= now);
      const [parking, ending] = [due.filter(isToPark), due.filter((one) => !isToPark(one))];
      for (const approval of ending) await expire(tx, approval, now);
      // The others end with the same attempt: their answers are for the next one, too.
      if (parking.length > 0) {
        await markParked(tx, taskId, now);
        for (const approval of pending.filter((one) => !ending.includes(one)))
          await auditAbout(tx, approval, { actor: 'service', action: 'approval.parked', isGood: true });
      }
      const open = pending.filter((one) => !due.includes(one));
      const next = open.map((one) => deadlineOf(one).getTime());
      return {
        nextDueAt: next.length > 0 ? new Date(Math.min(...next)) : null,
        pending: open.length + parking.length,
        unanswered: ending.some((one) => one.unanswered === 'stop') ? 'stop' : parking.length > 0 ? 'park' : null,
      };
    },

    async expireParked(tx, taskId) {
      const now = clock.now();
      const due = (await pendingOfTask(tx, taskId)).filter((one) => one.parkedAt !== null && one.expiresAt <= now);
      for (const approval of due) await expire(tx, approval, now);
      return due.length > 0;
    },

    async expireWithoutTask(tx) {
      const now = clock.now();
      for (const approval of await dueWithoutTask(tx, now)) await expire(tx, approval, now);
    },

    async withdrawOne(tx, { task_id: taskId, attempt, ask_id: askId }) {
      const asked = (await pendingOfTask(tx, taskId)).find((one) => one.attempt === attempt && one.askId === askId);
      const withdrawn = asked && (await withdraw(tx, asked, 'The agent took the question back.'));
      if (withdrawn) await onSettled(tx, withdrawn);
    },

    async withdraw(tx, taskId) {
      for (const approval of await pendingOfTask(tx, taskId))
        await withdraw(tx, approval, 'The attempt that asked is over.');
    },
  };
}

/** What is parked holds nothing any more, and waits as long as a person is given. */
const deadlineOf = ({ parkedAt, holdUntil, expiresAt }: Approval): Date =>
  parkedAt === null && holdUntil !== null ? holdUntil : expiresAt;

const isToPark = (approval: Approval): boolean => approval.unanswered === 'park' && approval.parkedAt === null;
