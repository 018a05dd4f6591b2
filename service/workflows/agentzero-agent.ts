import { handedOver, type Agent, type Task, type TaskResult } from '../../modules/contract.ts';
import type { RegisteredAgent } from '../agents/agent.ts';
import { AgentFailure } from '../agents/agent-failure.ts';
import type { Coder } from '../coder/coder.ts';
import type { BoundsReader } from '../coder/template-bounds-reader.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { pause } from '../platform/pause.ts';
import { tasksOfWorkflow } from '../tasks/step-tasks.ts';
import { lockTask } from '../tasks/task-store.ts';
import type { TaskRecord } from '../tasks/task.ts';
import { narrow, type WorkBounds } from '../tasks/work-bounds.ts';
import {
  checkWorkflowIn,
  startWorkflow,
  workflowBody,
  type CheckedWorkflow,
  type CheckParts,
  type StartParts,
  type WorkflowBody,
} from './submit-workflow.ts';
import { readHead, readWorkflow, type WorkflowRecord } from './workflow-store.ts';
import { outputOf, stepOutcome } from './workflow.ts';

export interface AgentZeroParts extends StartParts {
  readonly database: Database;
  readonly coder: Pick<Coder, 'readWorkspace'>;
  readonly bounds: WorkBounds;
  readonly checkCost: NonNullable<CheckParts['checkCost']>;
  readonly workspaceBounds: BoundsReader;
  /** Ends a workflow on behalf of its owner. Throws `conflict` for one that has ended. */
  readonly cancel: (workflowId: string, ownerId: string) => Promise<unknown>;
  /** How often the workflow is looked at. */
  readonly lookEveryMs: number;
}

/**
 * The orchestrator: its task is a workflow in the task's own workspace, and ends with it.
 *
 * Safety   the workflow has the id of its task, so executing the task again follows the same workflow.
 * Bounds   such a workflow names no other workspace, because only this one was checked with its submitter's own rights;
 *          and none of its steps is for `agentzero` again.
 */
export const makeAgentZero = (parts: AgentZeroParts, listed: RegisteredAgent): Agent => ({
  ...listed,
  async execute(task, { signal }) {
    await begin(parts, task);
    for (let isCanceled = false; ;) {
      const workflow =
        (await readHead(parts.database, task.id))?.outcome && (await readWorkflow(parts.database, task.id));
      if (workflow) return resultOf(parts, workflow);
      if (signal.aborted && signal.reason === handedOver) throw toldToStop();
      if (signal.aborted && !isCanceled) {
        await cancelOnce(parts, task);
        isCanceled = true;
      } else await pause(parts.lookEveryMs, isCanceled ? new AbortController().signal : signal);
    }
  },
});

async function begin(parts: AgentZeroParts, task: Task): Promise<void> {
  if (await readHead(parts.database, task.id)) return;
  const record = await parts.database.transaction((tx) => lockTask(tx, task.id));
  if (!record) throw new AgentFailure('ContextError', `Task ${task.id} was not submitted, so it has no owner.`);
  const checked = await check(parts, task, record);
  await parts.database.transaction(async (tx) => {
    // Two who begin at once wait for each other here.
    await lockTask(tx, task.id);
    if (await readHead(tx, task.id)) return;
    const owner = { id: record.ownerId, name: record.ownerName, commitIdentity: record.commitIdentity };
    await startWorkflow(tx, parts, owner, checked, record.requestId ?? task.id, task.id);
  });
}

async function check(parts: AgentZeroParts, task: Task, record: TaskRecord): Promise<CheckedWorkflow> {
  const body = workflowBody.safeParse(task.params);
  if (!body.success) {
    const [fault] = body.error.issues;
    throw notRun(`${fault?.path.join('.') || 'it'}: ${fault?.message ?? 'is no workflow'}`);
  }
  mustStay(body.data);
  const context = { actor: `user:${record.ownerId}`, requestId: record.requestId };
  const workspace = await parts.coder.readWorkspace(task.workspaceId, context);
  if (!workspace) throw notRun('its workspace is gone');
  const bounds = narrow(parts.bounds, await parts.workspaceBounds.of(workspace, context));
  try {
    return await checkWorkflowIn(parts, () => Promise.resolve({ workspace, bounds }), body.data);
  } catch (error) {
    if (error instanceof ServiceError && refusals.includes(error.kind)) throw notRun(error.message);
    throw error;
  }
}

/** What another try meets again. */
const refusals: readonly ServiceError['kind'][] = ['invalid', 'unprocessable', 'forbidden', 'not_found'];

function mustStay({ workspace_id: workspace, steps }: WorkflowBody): void {
  if ([workspace, ...steps.map((step) => step.workspace_id)].some((named) => named !== undefined))
    throw notRun('it names a workspace; it runs in that of its task, so leave workspace_id out');
  const nested = steps.find(({ agent }) => agent === 'agentzero');
  if (nested) throw notRun(`step '${nested.id}' would run another workflow; write its steps here instead`);
}

async function cancelOnce({ cancel }: AgentZeroParts, { id, ownerId }: Task): Promise<void> {
  try {
    await cancel(id, ownerId);
  } catch (error) {
    if (!(error instanceof ServiceError && error.kind === 'conflict')) throw error;
  }
}

/** One line for each step, and what the last of them said. */
async function resultOf({ database }: AgentZeroParts, workflow: WorkflowRecord): Promise<TaskResult> {
  const tasks = new Map(
    (await tasksOfWorkflow(database, workflow.id)).map(({ stepId, ...task }) => [
      stepId ?? '',
      { ...task, stepId: stepId ?? '' },
    ]),
  );
  const lines = workflow.steps.map((step) => `${step.stepId}: ${stepOutcome(step, tasks.get(step.stepId)) ?? 'open'}`);
  if (workflow.outcome === 'canceled') throw toldToStop();
  if (workflow.outcome !== 'succeeded')
    throw new AgentFailure('AgentError', `The workflow ${workflow.outcome}: ${lines.join(', ')}.`);
  const last = tasks.get(workflow.steps.at(-1)?.stepId ?? '');
  const objects = [...tasks.values()].flatMap((task) => task.evidence?.objects ?? []);
  return {
    output: [...lines, ...(last ? ['', outputOf(last)] : [])].join('\n'),
    objects: [{ kind: 'Workflow', namespace: null, name: workflow.id, result: 'created' }, ...objects],
  };
}

const notRun = (why: string): AgentFailure => new AgentFailure('ContextError', `The workflow cannot be run: ${why}.`);

const toldToStop = (): AgentFailure => new AgentFailure('UserStopped', 'The workflow was told to stop.');
