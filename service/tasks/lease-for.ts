import type { Lease, TaskMessage } from '../../modules/contract.ts';
import { actionOf } from '../agents/actions.ts';
import type { Approval } from '../approvals/approval.ts';
import type { TaskRecord } from './task.ts';

/** What a bridge is told of a task. Message and part ids follow from the task, so that resending is harmless. */
export const leaseFor = (
  task: TaskRecord,
  taskToken: string,
  messages: readonly TaskMessage[],
  answered: readonly Approval[],
): Lease => ({
  task_id: task.id,
  attempt: task.attempt,
  title: task.title,
  prompt: task.prompt,
  session_id: task.sessionId,
  message_id: `msg_${task.id.replaceAll('-', '')}`,
  part_id: `prt_${task.id.replaceAll('-', '')}`,
  messages,
  answers: answered.map(({ title, decision, message }) => ({ title, decision: decision ?? 'reject', message })),
  profile: task.profile,
  model: task.model,
  verify: task.verify,
  ...commandOf(task),
  timeout_ms: task.timeoutMs,
  task_token: taskToken,
  branch: task.branch,
  base_commits: task.baseCommits,
  identity: task.commitIdentity,
  environment: { TASK_ID: task.id, TASK_NAME: task.title, TASK_NAMESPACE: task.organizationName },
});

/** The command that a task stands for; none where a model is asked. */
export function commandOf({
  agent,
  action,
  payload,
}: Pick<TaskRecord, 'agent' | 'action' | 'payload'>): Pick<Lease, 'command'> {
  const command = actionOf(agent, action)?.command;
  return command ? { command: command((payload as { params?: unknown } | null)?.params) } : {};
}
