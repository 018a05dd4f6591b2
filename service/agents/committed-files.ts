import type { Task } from '../../modules/contract.ts';

/**
 * What is committed in the repository of a task's workspace, as the task finds it: with the work it builds on.
 *
 * Errors  `AgentFailure`: `ContextError` where the workspace refuses, `BridgeLost` where it does not answer.
 */
export interface CommittedFiles {
  /** Paths of the files that lie directly in a folder. */
  list(task: Task, folder: string, signal: AbortSignal): Promise<readonly string[]>;
  read(task: Task, path: string, signal: AbortSignal): Promise<string>;
}
