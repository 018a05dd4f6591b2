import type { Api } from '../../test/support/stage/api.ts';
import { eventLine } from '../task/event-line.ts';

/** A workflow as the service answers it; only what is shown. */
export interface WorkflowAnswer {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly steps: readonly StepAnswer[];
}

export interface StepAnswer {
  readonly id: string;
  readonly task_id: string | null;
  readonly state: string;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly message: string | null;
  readonly attempts: number;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly branch: string | null;
  readonly commit: string | null;
  readonly changed_files: readonly string[];
  readonly verify: { readonly exit: number | null } | null;
  readonly usage: {
    readonly input_tokens: number;
    readonly cached_tokens: number;
    readonly output_tokens: number;
    readonly reasoning_tokens: number;
    readonly cost_micro_usd: number;
  } | null;
}

interface ApprovalAnswer {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
}

const pollMs = 300;
/** How long the service may be away before watching gives up: a restart takes a second or two. */
const awayMs = 60_000;

/**
 * Follows a workflow to its end: tells each change as it happens and decides each question through the API.
 * A service that goes away and comes back is followed on: event streams go on after the last number seen.
 */
export async function watchWorkflow(
  api: Api,
  workflowId: string,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<{ workflow: WorkflowAnswer; decided: number }> {
  const followed = new Map<string, Promise<number>>();
  for (;;) {
    signal.throwIfAborted();
    const workflow = await patiently(signal, () =>
      api.get<WorkflowAnswer>(`/api/v2/agents/agentzero/workflows/${workflowId}`),
    );
    for (const step of workflow.steps)
      if (step.task_id !== null && !followed.has(step.task_id))
        followed.set(step.task_id, follow(api, step.id, step.task_id, tell, signal));
    if (workflow.state === 'finished') {
      const decided = await Promise.all(followed.values());
      return { workflow, decided: decided.reduce((sum, one) => sum + one, 0) };
    }
    await pause(pollMs);
  }
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Does `work`, again while the service cannot be reached. What the service itself refuses is thrown at once. */
async function patiently<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  const until = Date.now() + awayMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isAway(error) || signal.aborted || Date.now() > until) throw error;
      await pause(pollMs);
    }
  }
}

/** `fetch` fails with a TypeError; a realm of its own (as test runners make) has another class of that name. */
function isAway(error: unknown): boolean {
  const { name, message } = error as { name?: unknown; message?: unknown };
  return name === 'TypeError' || /: (502|503|504) /.test(String(message));
}

async function follow(
  api: Api,
  stepId: string,
  taskId: string,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  let decided = 0;
  let lastSeq = 0;
  const read = async (): Promise<boolean> => {
    for await (const event of api.events(taskId, lastSeq, signal)) {
      const text = eventLine(event);
      if (text !== null) tell(`${stepId.padEnd(9)} ${text}`);
      if (event.type === 'approval.requested') decided += await decide(api, stepId, taskId, tell);
      lastSeq = event.seq;
      if (event.type === 'task.finished') return true;
    }
    return false;
  };
  while (!(await patiently(signal, read)));
  return decided;
}

async function decide(api: Api, stepId: string, taskId: string, tell: (line: string) => void): Promise<number> {
  const { items } = await api.get<{ items: readonly ApprovalAnswer[] }>(
    `/api/v2/agents/approvals?state=pending&task_id=${taskId}`,
  );
  for (const approval of items) {
    tell(`${stepId.padEnd(9)}   → POST /api/v2/agents/approvals/${approval.id}/decision {"decision":"once"}`);
    await api.post(`/api/v2/agents/approvals/${approval.id}/decision`, { decision: 'once' });
  }
  return items.length;
}
