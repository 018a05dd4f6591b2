import type { Selectable } from 'kysely';
import type { Decision } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson, storableText } from '../platform/storable.ts';
import type { Approval, ApprovalKind, ApprovalState, DecidedVia, Unanswered } from './approval.ts';

interface ApprovalTable {
  id: string;
  task_id: string;
  attempt: number;
  ask_id: string;
  kind: ApprovalKind;
  title: string;
  detail: unknown;
  detail_hash: string;
  workspace_id: string;
  owner_id: string;
  organization_id: string;
  state: ApprovalState;
  decision: Decision | null;
  decided_by: string | null;
  message: string | null;
  asked_at: Date;
  expires_at: Date;
  settled_at: Date | null;
  call_hash: string;
  hold_until: Date | null;
  unanswered: Unanswered;
  parked_at: Date | null;
  used_at: Date | null;
  decided_via: DecidedVia | null;
  is_remembered: boolean;
}
interface Tables {
  approval: ApprovalTable;
}

const fromRow = (row: Selectable<ApprovalTable>): Approval => ({
  id: row.id,
  task_id: row.task_id,
  attempt: row.attempt,
  askId: row.ask_id,
  kind: row.kind,
  title: row.title,
  detail: row.detail as Approval['detail'],
  detailHash: row.detail_hash,
  workspaceId: row.workspace_id,
  ownerId: row.owner_id,
  organizationId: row.organization_id,
  state: row.state,
  decision: row.decision,
  decidedBy: row.decided_by,
  message: row.message,
  askedAt: row.asked_at,
  expiresAt: row.expires_at,
  settledAt: row.settled_at,
  callHash: row.call_hash,
  holdUntil: row.hold_until,
  unanswered: row.unanswered,
  parkedAt: row.parked_at,
  decidedVia: row.decided_via,
  isRemembered: row.is_remembered,
});

export type NewApproval = Omit<
  Approval,
  'state' | 'decision' | 'decidedBy' | 'message' | 'settledAt' | 'parkedAt' | 'decidedVia' | 'isRemembered'
>;

/** Stores a question; the same question of the same attempt again answers the stored one with `isNew` false. */
export async function insertApproval(
  tx: Transaction,
  approval: NewApproval,
): Promise<{ approval: Approval; isNew: boolean }> {
  const table = tx.as<Tables>();
  const inserted = await table
    .insertInto('approval')
    .values({
      id: approval.id,
      task_id: approval.task_id,
      attempt: approval.attempt,
      ask_id: storableText(approval.askId),
      kind: approval.kind,
      title: storableText(approval.title),
      detail: storableJson(approval.detail),
      detail_hash: approval.detailHash,
      workspace_id: approval.workspaceId,
      owner_id: approval.ownerId,
      organization_id: approval.organizationId,
      state: 'pending',
      decision: null,
      decided_by: null,
      message: null,
      asked_at: approval.askedAt,
      expires_at: approval.expiresAt,
      settled_at: null,
      call_hash: approval.callHash,
      hold_until: approval.holdUntil,
      unanswered: approval.unanswered,
      parked_at: null,
      used_at: null,
      decided_via: null,
      is_remembered: false,
    })
    .onConflict((conflict) => conflict.columns(['task_id', 'attempt', 'ask_id']).doNothing())
    .returningAll()
    .executeTakeFirst();
  if (inserted) return { approval: fromRow(inserted), isNew: true };
  const stored = await table
    .selectFrom('approval')
    .selectAll()
    .where((where) =>
      where.and({ task_id: approval.task_id, attempt: approval.attempt, ask_id: storableText(approval.askId) }),
    )
    .executeTakeFirstOrThrow();
  return { approval: fromRow(stored), isNew: false };
}

export async function readApproval(database: Pick<Database, 'as'>, id: string): Promise<Approval | null> {
  const row = await database.as<Tables>().selectFrom('approval').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** Settles a pending approval; null when somebody or something else was faster. */
export async function settlePending(
  tx: Transaction,
  id: string,
  values: {
    state: Exclude<ApprovalState, 'pending'>;
    decision: Decision;
    decidedBy: string | null;
    message: string | null;
    now: Date;
    decidedVia?: DecidedVia;
    isRemembered?: boolean;
  },
): Promise<Approval | null> {
  const row = await tx
    .as<Tables>()
    .updateTable('approval')
    .set({
      state: values.state,
      decision: values.decision,
      decided_by: values.decidedBy,
      message: values.message,
      settled_at: values.now,
      decided_via: values.decidedVia ?? null,
      is_remembered: values.isRemembered ?? false,
    })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .returningAll()
    .executeTakeFirst();
  return row ? fromRow(row) : null;
}

export async function pendingOfTask(tx: Transaction, taskId: string): Promise<readonly Approval[]> {
  const rows = await tx
    .as<Tables>()
    .selectFrom('approval')
    .selectAll()
    .where('task_id', '=', taskId)
    .where('state', '=', 'pending')
    .orderBy('id')
    .forUpdate()
    .execute();
  return rows.map(fromRow);
}

/** Says of all open questions of a task that their attempt ends without an answer. */
export async function markParked(tx: Transaction, taskId: string, now: Date): Promise<void> {
  await tx
    .as<Tables>()
    .updateTable('approval')
    .set({ parked_at: now })
    .where('task_id', '=', taskId)
    .where('state', '=', 'pending')
    .where('parked_at', 'is', null)
    .execute();
}

/** Takes the answer that a person gave to this very call after its attempt was parked: it is for one call. */
export async function takeAnswer(
  tx: Transaction,
  by: { taskId: string; beforeAttempt: number; callHash: string; now: Date },
): Promise<Approval | null> {
  const table = tx.as<Tables>();
  const found = await table
    .selectFrom('approval')
    .select('id')
    .where('task_id', '=', by.taskId)
    .where('attempt', '<', by.beforeAttempt)
    .where('call_hash', '=', by.callHash)
    .where('state', '=', 'decided')
    .where('parked_at', 'is not', null)
    .where('used_at', 'is', null)
    .orderBy('id')
    .limit(1)
    .forUpdate()
    .executeTakeFirst();
  if (!found) return null;
  const row = await table
    .updateTable('approval')
    .set({ used_at: by.now })
    .where('id', '=', found.id)
    .returningAll()
    .executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** Answers that came after their attempt was parked and that no call has used yet, oldest first. */
export async function unusedAnswers(tx: Transaction, taskId: string): Promise<readonly Approval[]> {
  const rows = await tx
    .as<Tables>()
    .selectFrom('approval')
    .selectAll()
    .where('task_id', '=', taskId)
    .where('state', '=', 'decided')
    .where('parked_at', 'is not', null)
    .where('used_at', 'is', null)
    .orderBy('id')
    .limit(20)
    .execute();
  return rows.map(fromRow);
}

/** Tasks with a parked question whose last deadline has passed. */
export async function tasksWithDueParked(database: Database, now: Date): Promise<readonly string[]> {
  const rows = await database
    .as<Tables>()
    .selectFrom('approval')
    .select('task_id')
    .distinct()
    .where('state', '=', 'pending')
    .where('parked_at', 'is not', null)
    .where('expires_at', '<=', now)
    .limit(1_000)
    .execute();
  return rows.map(({ task_id: taskId }) => taskId);
}

/** What no task looks after and waited past its deadline; what somebody decides right now is left to them. */
export async function dueWithoutTask(tx: Transaction, now: Date): Promise<readonly Approval[]> {
  const rows = await tx
    .as<Tables>()
    .selectFrom('approval')
    .selectAll()
    .where('kind', 'in', ['workflow', 'command'])
    .where('state', '=', 'pending')
    .where('expires_at', '<=', now)
    .forUpdate()
    .skipLocked()
    .execute();
  return rows.map(fromRow);
}

/** An owner's approvals, newest first. `cursor` is the id of the last one seen. */
export async function listApprovals(
  database: Database,
  filter: {
    ownerId: string;
    state?: ApprovalState | undefined;
    taskId?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  },
): Promise<readonly Approval[]> {
  let query = database
    .as<Tables>()
    .selectFrom('approval')
    .selectAll()
    .where('owner_id', '=', filter.ownerId)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.state) query = query.where('state', '=', filter.state);
  if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
  if (filter.cursor) query = query.where('id', '<', filter.cursor);
  return (await query.execute()).map(fromRow);
}
