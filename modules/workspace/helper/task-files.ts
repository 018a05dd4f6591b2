import { realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { worktreesDir } from '../../contract.ts';
import type { AgentStatus } from './run-files.ts';

/**
 * The folder with the files of the task that runs; null where none does, or where it is not plainly that folder: what is
 * below the workspace is the agent's, and a link there could lead the person's IDE into their home folder.
 */
export function taskFiles(workspaceDir: string, status: AgentStatus | null): string | null {
  if (status?.worktree === undefined) return null;
  try {
    const folder = join(realpathSync(workspaceDir), worktreesDir, status.worktree);
    return realpathSync(folder) === folder && statSync(folder).isDirectory() ? folder : null;
  } catch {
    return null;
  }
}
