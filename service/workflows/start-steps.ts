import { promptlessAgents } from '../agents/actions.ts';
import { limits } from '../../modules/contract.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../platform/clock.ts';
import type { Transaction } from '../platform/database.ts';
import { tasksOfWorkflow } from '../tasks/step-tasks.ts';
import { submitTask } from '../tasks/submit-task.ts';
import { branchFor, type TaskRecord } from '../tasks/task.ts';
import { fillOutputs, stepsUsed } from './graph.ts';
import type { StepNow } from './progress.ts';
import { baseCommitsOf, factsOf } from './workflow.ts';
import { appendWorkflowEvents, rememberTold, type NewWorkflowEvent } from './workflow-events.ts';
import { readSteps, type StepRecord, type Told, type WorkflowHead } from './workflow-store.ts';

export interface StartStepsParts {
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly approvals: Pick<Approvals, 'request' | 'expireDue'>;
}

/** How long a step waits for a person; then it counts as refused. */
const approvalMs = 24 * 3_600_000;

/** Makes a task of each named step, with what earlier steps made filled into its prompt. */
export async function startSteps(
  tx: Transaction,
  parts: StartStepsParts,
  workflow: WorkflowHead,
  now: readonly StepNow[],
  stepIds: readonly string[],
): Promise<void> {
  if (stepIds.length === 0) return;
  const steps = await readSteps(tx, workflow.id, stepIds);
  const earlier = await tasksBefore(tx, workflow.id, now, steps);
  const events: NewWorkflowEvent[] = [];
  const told = new Map<string, Told>();
  for (const step of steps) {
    const work = { ...step.work, prompt: fillOutputs(step.work.prompt, factsOf(earlier), limits.promptBytes) };
    const taskId = await submitTask(tx, parts, {
      work,
      submitter: { id: workflow.ownerId, name: workflow.ownerName, commitIdentity: workflow.commitIdentity },
      workspace: step.workspace,
      requestId: workflow.requestId,
      step: { workflowId: workflow.id, stepId: step.stepId, run: step.run, branch: branchOf(workflow, step) },
      baseCommits: baseCommitsOf(step, earlier),
      isHeld: step.needsApproval,
    });
    events.push({ type: 'step.queued', at: parts.clock.now(), stepId: step.stepId, data: { task_id: taskId } });
    told.set(step.stepId, step.needsApproval ? 'waiting' : 'queued');
    if (!step.needsApproval) continue;
    const approvalId = await ask(tx, parts, workflow, { ...step, work }, taskId);
    const data = { task_id: taskId, reason: 'PermissionRequired', approval_id: approvalId };
    events.push({ type: 'step.waiting', at: parts.clock.now(), stepId: step.stepId, data });
  }
  await appendWorkflowEvents(tx, workflow, events);
  await rememberTold(tx, workflow.id, told);
}

/** Asks a person whether a step may begin, and shows what its agent will be told. Answers the id of the approval. */
async function ask(
  tx: Transaction,
  { approvals }: StartStepsParts,
  workflow: WorkflowHead,
  step: StepRecord,
  taskId: string,
): Promise<string> {
  const { agent, action, profile, model } = step.work;
  const { approval } = await approvals.request(tx, {
    task_id: taskId,
    attempt: 0,
    ask: {
      ask_id: 'step',
      kind: 'step',
      title: `May step '${step.stepId}' of workflow '${workflow.name}' begin?`,
      detail: { workflow_id: workflow.id, step_id: step.stepId, agent, action, profile, model, ...toldTo(step.work) },
    },
    workspaceId: step.workspace.id,
    ownerId: workflow.ownerId,
    organizationId: step.workspace.organizationId,
    forMs: approvalMs,
    actor: 'service',
  });
  return approval.id;
}

/** Agents without a model do what the params say; the prompt of the catalogue tells nobody anything. */
function toldTo({ agent, prompt, payload }: StepRecord['work']): { prompt: string } | { params: unknown } {
  const isPromptless = promptlessAgents.includes(agent);
  return isPromptless ? { params: (payload as { params?: unknown } | null)?.params ?? {} } : { prompt };
}

/** The tasks that steps build on or speak of, by step. */
async function tasksBefore(
  tx: Transaction,
  workflowId: string,
  now: readonly StepNow[],
  steps: readonly StepRecord[],
): Promise<ReadonlyMap<string, TaskRecord>> {
  const named = new Set(steps.flatMap((step) => [...step.dependsOn, ...stepsUsed(step.work.prompt)]));
  const ids = now.flatMap(({ step, task }) => (task && named.has(step.stepId) ? [task.id] : []));
  const tasks = await tasksOfWorkflow(tx, workflowId, ids);
  return new Map(tasks.map((task) => [task.stepId ?? '', task]));
}

/**
 * The branch of a step, of which no other step of the workflow has the same. A name that git, or a file system that
 * does not tell cases apart, could take for another step's gets its place in the workflow added.
 */
function branchOf(workflow: WorkflowHead, step: StepRecord): string {
  const again = step.run === 1 ? '' : `-${step.run}`;
  const branch = branchFor(`${workflow.name.slice(0, 40)}-${workflow.id.slice(-8)}${again}`, step.stepId);
  return branch.endsWith(`/${step.stepId}`) ? branch : `${branch}.${step.position}`;
}
