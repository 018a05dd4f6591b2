import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { worktreesDir } from '../../contract.ts';
import { keep, listCheckpoints, makeRun, saveCheckpoint, tooLarge } from './checkpoint.ts';
import type { Git } from './git.ts';
import { textOf, type Log } from './log.ts';
import { findRepository } from './worktree.ts';

export interface ForgetParts {
  readonly git: Git;
  readonly workspaceDir: string;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
  readonly agentDir: string;
  readonly isRunning: (taskId: string) => boolean;
  readonly log: Log;
  readonly now: () => Date;
}

/** Since the folder of the task was last written to: by its last attempt, or by a checkpoint. */
const keptMs = 7 * 24 * 3_600_000;
const identity = { name: 'Outrigger', email: 'outrigger@localhost' };

/**
 * Removes the work trees of tasks that nobody has gone on with for a week, once all that they hold is in a branch or a
 * checkpoint; ignored files go with them. Answers their names.
 *
 * Errors   none: a work tree that cannot be saved in full, or removed, stays.
 */
export async function forgetWorkTrees(parts: ForgetParts): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const taskId of namesIn(join(parts.agentDir, 'tasks'))) {
    try {
      const name = dueWorkTree(parts, taskId);
      if (name !== null && (await remove(parts, taskId, name))) removed.push(name);
    } catch (error) {
      parts.log('warn', 'an old work tree could not be removed', { task_id: taskId, error: textOf(error) });
    }
  }
  if (removed.length > 0) parts.log('info', 'old work trees removed', { count: removed.length });
  return removed;
}

const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** The agent can write the file that names it: it is the name of one folder or nothing. */
function dueWorkTree({ agentDir, workspaceDir, isRunning, now }: ForgetParts, taskId: string): string | null {
  const taskDir = join(agentDir, 'tasks', taskId);
  if (isRunning(taskId) || now().getTime() - lstatSync(taskDir).mtimeMs <= keptMs) return null;
  const noted = join(taskDir, 'worktree');
  if (!lstatSync(noted, { throwIfNoEntry: false })?.isFile()) return null;
  const name = readFileSync(noted, 'utf8').trim();
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,250}$/.test(name)) return null;
  return lstatSync(join(workspaceDir, worktreesDir, name), { throwIfNoEntry: false })?.isDirectory() ? name : null;
}

async function remove(parts: ForgetParts, taskId: string, name: string): Promise<boolean> {
  const { git, workspaceDir, agentDir } = parts;
  const path = join(workspaceDir, worktreesDir, name);
  const taskDir = join(agentDir, 'tasks', taskId);
  const run = makeRun(git, path, 60_000);
  if ((await tooLarge(run, path)).length > 0) return false;
  const saved = await saveCheckpoint({
    git,
    workTree: { path, base: 'HEAD' },
    lease: { task_id: taskId, title: 'Before its work tree was removed', identity },
    taskDir,
  });
  const head = await run(['rev-parse', '--verify', 'HEAD^{commit}']);
  // Commits on no branch would go with the work tree.
  if (!saved && (await run(['for-each-ref', '--contains', head, '--count=1', 'refs/heads'])) === '')
    await keep(run, taskId, (await listCheckpoints(run, taskId)).at(-1)?.number ?? 0, head);
  const repository = findRepository(parts.gitRoot, parts.repositoryDir);
  await makeRun(git, repository, 60_000)(['worktree', 'remove', '--force', '--', path]);
  rmSync(join(taskDir, 'worktree'), { force: true });
  return true;
}
