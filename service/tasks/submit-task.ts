import { z } from 'zod';
import { limits, profiles, timing, type Profile, type Verify } from '../../modules/contract.ts';
import { fillPrompt, type Action } from '../agents/action.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import { ServiceError } from '../platform/errors.ts';
import { featureOff, type Flag } from '../platform/flags.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { traceParent } from '../platform/tracing.ts';
import { appendEvent } from './task-events.ts';
import { insertTask, type NewTask } from './task-store.ts';
import { branchFor } from './task.ts';
import { choose, type WorkBounds } from './work-bounds.ts';
import { checkWorkHere } from './work-here.ts';

export const verifySchema = z.strictObject({
  argv: z.array(z.string().min(1).max(4_096)).min(1).max(100),
  timeout_seconds: z.number().int().min(1).max(7_200).default(600),
});

const promptText = z
  .string()
  .refine((text) => text.trim() !== '', 'the prompt is empty; say what is to be done')
  .refine(
    (text) => Buffer.byteLength(text) <= limits.promptBytes,
    'the prompt is larger than 256 KiB; put files into the workspace',
  )
  .refine((text) => !text.includes('\u0000'), 'the prompt holds a null character');

/** Fields that a task and a workflow step share. */
export const workFields = {
  profile: z.enum(profiles).optional(),
  model: z.string().min(1).max(200).optional(),
  verify: verifySchema.optional(),
  priority: z.number().int().min(-100).max(100).default(0),
  timeout_seconds: z
    .number()
    .int()
    .min(10)
    .max(86_400)
    .default(timing.taskTimeoutMs / 1_000),
  retry: z
    .strictObject({
      max: z.number().int().min(1).max(10).default(3),
      backoff_seconds: z.number().int().min(0).max(3_600).default(10),
    })
    .prefault({}),
  /** What its model calls may cost, all attempts together: the next call after that is refused. */
  budget_micro_usd: z.number().int().min(1).max(1_000_000_000_000).optional(),
  /** Likewise in tokens of every kind, and in tool calls that the model asks for. */
  budget_tokens: z.number().int().min(1).max(1_000_000_000_000).optional(),
  budget_tool_calls: z.number().int().min(1).max(1_000_000).optional(),
  /** Asked in this order, within an answer of the gateway, when the provider of the model fails. */
  fallback_models: z.array(z.string().min(1).max(200)).max(5).default([]),
  /** Who takes over when the agent or its model failed and has no attempt left. */
  fallback: z
    .strictObject({ agent: z.string().min(1).max(100).optional(), model: z.string().min(1).max(200).optional() })
    .refine(({ agent, model }) => agent !== undefined || model !== undefined, 'name an agent, a model, or both')
    .optional(),
};

/** Body of `POST …/opencode/tasks`. */
export const taskBody = z.strictObject({
  type: z.string().min(1).max(100),
  payload: z.object({
    action: z.string().min(1).max(100),
    language: z.string().max(100).optional(),
    prompt: promptText.optional(),
    /** For agents whose actions take more than a prompt. */
    params: z.record(z.string(), z.unknown()).optional(),
    context: z
      .object({ workspace_id: z.string().min(1).max(200).optional(), file_path: z.string().max(4_096).optional() })
      .prefault({}),
  }),
  ...workFields,
});
export type TaskBody = z.output<typeof taskBody>;

/** Body of `POST …/execute`: without a type, the agent that has the action. */
export const executeBody = taskBody.extend({ type: taskBody.shape.type.optional() });

/** A piece of work that was checked and may be stored. */
export interface Work {
  readonly agent: string;
  readonly action: string;
  readonly prompt: string;
  readonly payload: unknown;
  readonly profile: Profile;
  readonly model: string;
  readonly fallback: { readonly agent: string; readonly model: string } | null;
  readonly verify: Verify | null;
  readonly priority: number;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly retryDelayMs: number;
  /** What all attempts together may cost. */
  readonly budgetMicroUsd?: number | null;
  readonly budgetTokens?: number | null;
  readonly budgetToolCalls?: number | null;
  readonly fallbackModels?: readonly string[];
}

export interface Submitter {
  readonly id: string;
  readonly name: string;
  readonly commitIdentity: { readonly name: string; readonly email: string };
}

/** Checks agent, action, model and profile; throws `unprocessable` naming what would be allowed. */
export function checkWork(
  bounds: WorkBounds,
  agent: string,
  action: string,
  given: {
    prompt?: string | undefined;
    hints?: Readonly<Record<string, string | undefined>>;
    payload: unknown;
    params?: unknown;
    profile?: Profile | undefined;
    model?: string | undefined;
    verify?: Verify | undefined;
    priority: number;
    timeout_seconds: number;
    retry: { max: number; backoff_seconds: number };
    budget_micro_usd?: number | undefined;
    budget_tokens?: number | undefined;
    budget_tool_calls?: number | undefined;
    fallback_models?: readonly string[] | undefined;
    fallback?: { agent?: string | undefined; model?: string | undefined } | undefined;
  },
): Work {
  const known = bounds.registry.action(agent, action);
  mustBeOn(bounds, agent);
  const { model, profile } = choose(bounds, given);
  checkWorkHere(agent, known, given);
  const hints = Object.entries(given.hints ?? {}).flatMap(([key, value]) => (value ? [[key, value] as const] : []));
  return {
    agent,
    action,
    prompt: withHints(given.prompt ?? fillPrompt(known.prompt, Object.fromEntries(hints)), hints),
    payload: known.params ? { action, params: checkParams(agent, known, given.params) } : given.payload,
    profile,
    model,
    fallback: given.fallback ? checkFallback(bounds, action, { agent, model, profile }, given.fallback) : null,
    verify: given.verify ?? null,
    priority: given.priority,
    timeoutMs: given.timeout_seconds * 1_000,
    maxAttempts: given.retry.max,
    retryDelayMs: given.retry.backoff_seconds * 1_000,
    budgetMicroUsd: given.budget_micro_usd ?? null,
    budgetTokens: given.budget_tokens ?? null,
    budgetToolCalls: given.budget_tool_calls ?? null,
    fallbackModels: (given.fallback_models ?? []).map((one) => choose(bounds, { model: one, profile }).model),
  };
}

/** Throws `forbidden` for an agent that is turned off for the organization. */
export function mustBeOn({ agentsOff = [] }: WorkBounds, agent: string): void {
  if (agentsOff.includes(agent)) throw featureOff(`agent_${agent}` as Flag);
}

/** What the fallback leaves out stays as it is; it must be allowed like the first choice. */
function checkFallback(
  bounds: WorkBounds,
  action: string,
  first: { agent: string; model: string; profile: Profile },
  { agent = first.agent, model = first.model }: { agent?: string | undefined; model?: string | undefined },
): { agent: string; model: string } {
  bounds.registry.action(agent, action);
  mustBeOn(bounds, agent);
  choose(bounds, { model, profile: first.profile });
  return { agent, model };
}

/** Throws `unprocessable` naming each parameter that the action does not take as it was given. */
function checkParams(agent: string, { name, params }: Action, given: unknown): unknown {
  const result = params?.safeParse(given ?? {});
  if (result?.success) return result.data;
  const errors = (result?.error.issues ?? []).map(({ path, message }) => ({
    path: ['params', ...path].join('.'),
    message,
  }));
  throw new ServiceError(
    'unprocessable',
    'params_invalid',
    `Action '${name}' of agent '${agent}' does not take these params: ${errors[0]?.path}: ${errors[0]?.message}. See errors[].`,
    { errors },
  );
}

const withHints = (prompt: string, hints: readonly (readonly [string, string])[]): string =>
  hints.length === 0
    ? prompt
    : `${prompt}\n\n${hints.map(([key, value]) => `${key.replaceAll('_', ' ')}: ${value}`).join('\n')}`;

export interface SubmitParts {
  readonly audit: AuditLog;
  readonly clock: Clock;
}

/** Stores a task with its first event and its audit row, in the caller's transaction. Answers its id. */
export async function submitTask(
  tx: Transaction,
  parts: SubmitParts,
  submission: {
    work: Work;
    submitter: Submitter;
    workspace: CoderWorkspace;
    requestId: string | null;
    /** Stands in its title instead of the action. */
    name?: string;
    /** What the work builds on, beside what its repository has. */
    baseCommits?: readonly string[];
    /** The task whose work this is. */
    retryOf?: string;
    step?: { workflowId: string; stepId: string; run: number; branch: string };
    /** Left out, it may start at once; else a person must let it. */
    isHeld?: boolean;
  },
): Promise<string> {
  const {
    work,
    submitter,
    workspace,
    requestId,
    name,
    baseCommits = [],
    retryOf = null,
    step,
    isHeld = false,
  } = submission;
  const now = parts.clock.now();
  const id = uuidv7(parts.clock);
  const task: NewTask = {
    id,
    type: work.agent,
    ...work,
    // Steps that an older version stored have none.
    fallback: work.fallback ?? null,
    budgetMicroUsd: work.budgetMicroUsd ?? null,
    budgetTokens: work.budgetTokens ?? null,
    budgetToolCalls: work.budgetToolCalls ?? null,
    fallbackModels: work.fallbackModels ?? [],
    title: `${workspace.organizationName}/${step?.stepId ?? name ?? work.action}/${id.slice(-8)}`,
    ownerId: submitter.id,
    ownerName: submitter.name,
    commitIdentity: submitter.commitIdentity,
    organizationId: workspace.organizationId,
    organizationName: workspace.organizationName,
    workspaceId: workspace.id,
    workspaceName: workspace.name,
    workflowId: step?.workflowId ?? null,
    stepId: step?.stepId ?? null,
    stepRun: step?.run ?? 1,
    traceParent: traceParent(),
    retryOf,
    branch: step?.branch ?? branchFor(`${work.action}-${id.slice(-8)}`),
    baseCommits,
    state: isHeld ? 'blocked' : 'queued',
    reason: isHeld ? 'PermissionRequired' : null,
    runAt: now,
    requestId,
    submittedAt: now,
  };
  await insertTask(tx, task);
  await appendEvent(tx, { taskId: id, attempt: 0, type: isHeld ? 'task.blocked' : 'task.queued', at: now });
  await parts.audit.append(tx, {
    actor: `user:${submitter.id}`,
    action: 'task.submitted',
    target: { type: 'task', id },
    outcome: 'success',
    ownerId: submitter.id,
    organizationId: workspace.organizationId,
    workspaceId: workspace.id,
    requestId,
    data: {
      agent: work.agent,
      action: work.action,
      profile: work.profile,
      model: work.model,
      workflow_id: step?.workflowId ?? null,
    },
  });
  return id;
}
