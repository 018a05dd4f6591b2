import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { worktreesDir } from '../../contract.ts';
import type { AttemptParts } from './attempt-parts.ts';
import { listCheckpoints, makeRun } from './checkpoint.ts';
import type { Git } from './git.ts';
import type { Commands } from './link.ts';
import { restoreCheckpoint } from './restore.ts';
import { taskDirectories } from './task-directories.ts';
import { unpushedIn } from './unpushed.ts';
import { findRepository, slugOf } from './worktree.ts';

export interface WorkCommandsParts extends Pick<AttemptParts, 'alone'> {
  readonly git: Git;
  readonly workspaceDir: string;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
  readonly agentDir: string;
  readonly isRunning: (taskId: string) => boolean;
}

const mostCheckpoints = 1_000;
const mostRepositories = 50;
const looksMs = 20_000;

/** What people ask about the work in this workspace. Each rejects with a sentence for them. */
export function makeWorkCommands(
  parts: WorkCommandsParts,
): Pick<Commands, 'checkpoints' | 'restoreCheckpoint' | 'unpushedWork'> {
  const { git, workspaceDir, agentDir } = parts;
  const repository = (): string => findRepository(parts.gitRoot, parts.repositoryDir);
  return {
    async checkpoints({ task_id: taskId }) {
      mustBeTask(taskId);
      const found = await listCheckpoints(makeRun(git, repository()), taskId);
      const checkpoints = found.slice(-mostCheckpoints);
      return { checkpoints: checkpoints.map(({ number, commit, parent, at }) => ({ number, commit, parent, at })) };
    },
    restoreCheckpoint: (asked) =>
      parts.alone(async () => {
        mustBeTask(asked.task_id);
        if (parts.isRunning(asked.task_id)) throw new Error('This task runs. Stop it, and restore then.');
        return restoreCheckpoint({
          git,
          repository: repository(),
          branch: asked.branch,
          workTree: { path: join(workspaceDir, worktreesDir, slugOf(asked.branch)), base: 'HEAD' },
          lease: { task_id: asked.task_id, title: 'Before a checkpoint was restored', identity: asked.identity },
          taskDir: taskDirectories(agentDir, asked.task_id).root,
          number: asked.number,
          force: asked.force,
        });
      }),
    async unpushedWork() {
      const found = await Promise.all(
        repositoriesOf(parts).map((directory) => unpushedIn(makeRun(git, directory, looksMs), directory)),
      );
      return { repositories: found.filter((one) => one !== null) };
    },
  };
}

/** Where people and tasks clone: directly below the workspace, its `repos`, and where this workspace clones. */
function repositoriesOf({ workspaceDir, gitRoot, repositoryDir }: WorkCommandsParts): string[] {
  const roots = [workspaceDir, join(workspaceDir, 'repos'), gitRoot].filter((root) => existsSync(root));
  const below = roots.flatMap((root) =>
    readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(root, entry.name)),
  );
  const all = new Set([...roots, ...below, ...(repositoryDir === null ? [] : [repositoryDir])]);
  const found = [...all].filter((directory) => existsSync(join(directory, '.git')));
  if (found.length > mostRepositories)
    throw new Error(`There are more than ${mostRepositories} repositories; they were not all looked at.`);
  return found;
}

/** It becomes the name of a ref and of a folder. */
function mustBeTask(id: unknown): void {
  if (typeof id !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw new Error('task_id must be the id of a task.');
}
