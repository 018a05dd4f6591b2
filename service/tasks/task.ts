import type { Evidence, Profile, Reason, Task, TaskOutcome, TaskState, Usage, Verify } from '../../modules/contract.ts';
import { names } from '../../modules/contract.ts';

/** A task as its row tells it. Times are Dates, durations milliseconds. */
export interface TaskRecord {
  readonly id: string;
  readonly agent: string;
  readonly type: string;
  readonly action: string;
  readonly title: string;
  readonly prompt: string;
  readonly payload: unknown;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly commitIdentity: { readonly name: string; readonly email: string };
  readonly organizationId: string;
  readonly organizationName: string;
  readonly workspaceId: string;
  readonly workspaceName: string;
  readonly workflowId: string | null;
  readonly stepId: string | null;
  /** Which run of its workflow's step it is; 1 where it belongs to none. */
  readonly stepRun: number;
  /** The span that submitted it, as a `traceparent`; null where nothing was traced. */
  readonly traceParent: string | null;
  /** The task whose work this one does once more. */
  readonly retryOf: string | null;
  readonly profile: Profile;
  readonly model: string;
  readonly verify: Verify | null;
  readonly branch: string;
  readonly baseCommits: readonly string[];
  readonly priority: number;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly retryDelayMs: number;
  /** What all its attempts together may cost; null: as much as it takes. */
  readonly budgetMicroUsd: number | null;
  readonly budgetTokens: number | null;
  readonly budgetToolCalls: number | null;
  /** Asked when the provider of the model fails. */
  readonly fallbackModels: readonly string[];
  /** Who does the work when agent and model have failed at it; null: nobody. */
  readonly fallback: { readonly agent: string; readonly model: string } | null;
  /** The attempt after which the fallback took over. */
  readonly fellBackAfter: number | null;
  readonly state: TaskState;
  readonly outcome: TaskOutcome | null;
  readonly reason: Reason | null;
  readonly message: string | null;
  readonly attempt: number;
  /** Attempts that ended because a question outlived them, since the fallback took over or the first; they are no retries. */
  readonly parks: number;
  readonly runAt: Date;
  readonly sessionId: string | null;
  readonly eventSeq: number;
  readonly stopReason: Reason | null;
  readonly stopRequestedAt: Date | null;
  readonly requestId: string | null;
  readonly submittedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly evidence: Evidence | null;
  readonly usage: Usage | null;
}

/** What every audit event about a task says of it. */
export const auditOf = ({ id, ownerId, organizationId, workspaceId }: TaskRecord) => ({
  target: { type: 'task', id },
  ownerId,
  organizationId,
  workspaceId,
});

/**
 * The life of a task: from each state, where it may go.
 *
 * blocked   a dependency or a limit keeps it from being admitted
 * queued    waits for a free place; also between two attempts
 * starting  admitted: the workspace or its bridge is not ready yet
 * running   the harness works
 * waiting   the harness asked and nobody decided yet
 * parked    the ask outlived its attempt: no process, no place; the answer goes on with a new attempt
 * stopping  somebody or a limit ended it; its processes are being proven gone
 * finished  has an outcome; final
 */
export const moves: Readonly<Record<TaskState, readonly TaskState[]>> = {
  blocked: ['queued', 'finished'],
  queued: ['starting', 'finished'],
  starting: ['running', 'queued', 'stopping', 'finished'],
  running: ['waiting', 'queued', 'stopping', 'finished'],
  waiting: ['running', 'parked', 'queued', 'stopping', 'finished'],
  parked: ['queued', 'finished'],
  stopping: ['finished'],
  finished: [],
};

/** States in which an attempt holds a place in its workspace. */
export const activeStates: readonly TaskState[] = ['starting', 'running', 'waiting', 'stopping'];

/**
 * An attempt: `preparing` (workspace) → `offered` (waits for its bridge) → `leased` (the bridge works) →
 * `reported` (evidence is there) → `settled`. Its number fences: messages of an older one are refused.
 */
export type AttemptState = 'preparing' | 'offered' | 'leased' | 'reported' | 'settled';

export interface AttemptRecord {
  readonly taskId: string;
  readonly number: number;
  readonly workspaceId: string;
  readonly state: AttemptState;
  readonly prepareUntil: Date;
  readonly leaseGeneration: number | null;
  readonly leaseUntil: Date | null;
  readonly lastSourceSeq: number;
  readonly waitingSince: Date | null;
  readonly waitedMs: number;
  /** Since when its bridge is asked to end it, because nobody answered it in time; null where it is not. */
  readonly parkingSince: Date | null;
  readonly evidence: Evidence | null;
  /** Who made it; null in rows of an older version. */
  readonly agent: string | null;
  readonly model: string | null;
  readonly outcome: TaskOutcome | null;
  readonly reason: Reason | null;
  readonly createdAt: Date;
  readonly leasedAt: Date | null;
  /** When the harness began to work; the task's time counts from here. */
  readonly runningAt: Date | null;
  readonly settledAt: Date | null;
}

const longestRetryDelayMs = 3_600_000;

/** Waits before attempt 2, 3, …: `retryDelayMs` × 4 each time, at most an hour. */
export const retryDelay = (retryDelayMs: number, attempt: number): number =>
  Math.min(retryDelayMs * 4 ** (attempt - 1), longestRetryDelayMs);

/** Durable function of an attempt in the engine. */
export const attemptWorkflow = 'attempt';
export const attemptWorkflowId = (taskId: string, attempt: number): string => `${taskId}:${attempt}`;
/** Topic on which an attempt is told to look at its row again. */
export const lookTopic = 'look';

/**
 * A branch name made of free text; each part becomes one that git accepts.
 *
 * Source: git-check-ref-format(1)
 */
export const branchFor = (...parts: readonly string[]): string => names.branchPrefix + parts.map(branchPart).join('/');

const branchPart = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 60)
    .replace(/-+$/, '') || 'work';

/** A task as its agent gets it. */
export const asAgentTask = (task: TaskRecord): Task => ({
  id: task.id,
  agent: task.agent,
  // What a fallback took over is of its own type.
  type: task.agent,
  action: task.action,
  prompt: task.prompt,
  params: (task.payload as { params?: unknown } | null)?.params,
  ownerId: task.ownerId,
  organizationId: task.organizationId,
  workspaceId: task.workspaceId,
  baseCommits: task.baseCommits,
});

/** Evidence of an attempt that could not report for itself. */
export const failedEvidence = (failure: NonNullable<Evidence['failure']>): Evidence => ({
  session_id: null,
  last_message: null,
  tool_exits: [],
  rejected_asks: 0,
  diff: { files: 0, additions: 0, deletions: 0 },
  changed_files: [],
  branch: null,
  commit: null,
  verify: null,
  verify_rejected: false,
  failure,
  stop: null,
});
