import type { Kysely } from 'kysely';

/** Whom a task token speaks for. */
export interface TaskIdentity {
  readonly taskId: string;
  readonly attempt: number;
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly organizationId: string;
  /** The model of the task; an alias or an empty name means the configured one. */
  readonly model: string;
  /** What this task may name, within what the gateway offers; left out, all of that. */
  readonly allowedModels?: readonly string[];
  /** What all attempts of the task together may cost; left out, as much as it takes. */
  readonly budgetMicroUsd?: number;
  /** Likewise in tokens of every kind, and in tool calls. */
  readonly budgetTokens?: number;
  readonly budgetToolCalls?: number;
  /** Asked in this order when the model's provider fails. */
  readonly fallbackModels?: readonly string[];
}

/** Why the gateway lets an attempt make no more calls; the reason is one of the closed list of the contract. */
export interface Halt {
  readonly reason: 'BudgetExceeded' | 'LoopDetected';
  /** One sentence for the person, without numbers that the harness would take for a reason to try again. */
  readonly message: string;
}

interface TaskTokenTable {
  hash: Buffer;
  task_id: string;
  attempt: number;
  workspace_id: string;
  owner_id: string;
  organization_id: string;
  model: string;
  allowed_models: string[] | null;
  budget_micro_usd: number | null;
  budget_tokens: number | null;
  budget_tool_calls: number | null;
  fallback_models: string[] | null;
  created_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
  calls: number;
  limit_reached_at: Date | null;
  halted_at: Date | null;
  halt_reason: Halt['reason'] | null;
  halt_message: string | null;
}

export interface GatewayTables {
  task_token: TaskTokenTable;
}

type Tables = Kysely<GatewayTables>;

export async function insertToken(
  db: Tables,
  token: TaskIdentity & { readonly hash: Buffer; readonly createdAt: Date; readonly expiresAt: Date },
): Promise<void> {
  await db
    .insertInto('task_token')
    .values({
      hash: token.hash,
      task_id: token.taskId,
      attempt: token.attempt,
      workspace_id: token.workspaceId,
      owner_id: token.ownerId,
      organization_id: token.organizationId,
      model: token.model,
      allowed_models: token.allowedModels === undefined ? null : [...token.allowedModels],
      budget_micro_usd: token.budgetMicroUsd ?? null,
      budget_tokens: token.budgetTokens ?? null,
      budget_tool_calls: token.budgetToolCalls ?? null,
      fallback_models: token.fallbackModels === undefined ? null : [...token.fallbackModels],
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: null,
      calls: 0,
      limit_reached_at: null,
      halted_at: null,
      halt_reason: null,
      halt_message: null,
    })
    .execute();
}

export async function revokeTokens(db: Tables, taskId: string, now: Date): Promise<void> {
  await db
    .updateTable('task_token')
    .set({ revoked_at: now })
    .where('task_id', '=', taskId)
    .where('revoked_at', 'is', null)
    .execute();
}

export async function findToken(db: Tables, hash: Buffer, now: Date): Promise<TaskIdentity | undefined> {
  const row = await db
    .selectFrom('task_token')
    .selectAll()
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    taskId: row.task_id,
    attempt: row.attempt,
    workspaceId: row.workspace_id,
    ownerId: row.owner_id,
    organizationId: row.organization_id,
    model: row.model,
    ...(row.allowed_models === null ? {} : { allowedModels: row.allowed_models }),
    ...(row.budget_micro_usd === null ? {} : { budgetMicroUsd: row.budget_micro_usd }),
    ...(row.budget_tokens === null ? {} : { budgetTokens: row.budget_tokens }),
    ...(row.budget_tool_calls === null ? {} : { budgetToolCalls: row.budget_tool_calls }),
    ...(row.fallback_models === null ? {} : { fallbackModels: row.fallback_models }),
  };
}

/** Why the attempt was halted; null when it was not. */
export async function haltOf(db: Tables, taskId: string, attempt: number): Promise<Halt | null> {
  const row = await db
    .selectFrom('task_token')
    .select(['halt_reason', 'halt_message'])
    .where('task_id', '=', taskId)
    .where('attempt', '=', attempt)
    .where('halt_reason', 'is not', null)
    .executeTakeFirst();
  return row?.halt_reason ? { reason: row.halt_reason, message: row.halt_message ?? '' } : null;
}

/** Attempts that were halted and whose token still lives: nobody has stopped them yet. */
export async function haltedAttempts(
  db: Tables,
): Promise<readonly (Halt & { readonly taskId: string; readonly attempt: number })[]> {
  const rows = await db
    .selectFrom('task_token')
    .select(['task_id', 'attempt', 'halt_reason', 'halt_message'])
    .where('halted_at', 'is not', null)
    .where('revoked_at', 'is', null)
    .execute();
  return rows.flatMap(({ task_id: taskId, attempt, halt_reason: reason, halt_message: message }) =>
    reason === null ? [] : [{ taskId, attempt, reason, message: message ?? '' }],
  );
}
