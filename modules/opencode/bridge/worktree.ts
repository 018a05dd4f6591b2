import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { worktreesDir, type Lease } from '../../contract.ts';
import { AttemptFailure } from './failure.ts';
import type { Git } from './git.ts';

/** Where one task works: a git worktree of its own, so that the person's checkout is never touched. */
export interface WorkTree {
  readonly path: string;
  /** The folder in it where the harness begins; the same where the whole repository is worked on. */
  readonly folder: string;
  /** Commit the branch began from; the diff of the task is counted against it. */
  readonly base: string;
  readonly branch: string;
}

export interface WorkTreeParts {
  readonly git: Git;
  readonly workspaceDir: string;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
  readonly subpath: string;
  /** Directory of the task in the agent volume; remembers the base across attempts. */
  readonly taskDir: string;
}

const contextError = (message: string): AttemptFailure => new AttemptFailure('ContextError', message, false);

/** The repository the agent works in: the configured one, else the only one directly below where they are cloned. */
export function findRepository(root: string, configured: string | null): string {
  if (configured !== null) {
    if (existsSync(join(configured, '.git'))) return configured;
    throw contextError(
      `${configured} is no git repository. Clone one there, or correct OUTRIGGER_REPOSITORY_DIR or GIT_WORKSPACE_DIR.`,
    );
  }
  const found = (existsSync(root) ? readdirSync(root, { withFileTypes: true }) : [])
    .filter((entry) => entry.isDirectory() && existsSync(join(root, entry.name, '.git')))
    .map((entry) => entry.name)
    .sort();
  const [first] = found;
  if (found.length === 1 && first !== undefined) return join(root, first);
  throw contextError(
    found.length === 0
      ? `There is no git repository directly below ${root}. Clone one, or set OUTRIGGER_REPOSITORY_DIR.`
      : `There are several git repositories below ${root} (${found.join(', ')}). Set OUTRIGGER_REPOSITORY_DIR to one of them.`,
  );
}

/** A branch name as one directory name. */
export const slugOf = (branch: string): string =>
  branch.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[.-]+/, '') || 'task';

/**
 * Makes the worktree of a task, or answers the one an earlier attempt left, with whatever it had not committed.
 *
 * Life     it stays when the task is over: no frame says that no attempt will follow, and a person may want to look.
 *          `forgetWorkTrees` removes it a week after its last attempt began.
 * Start    `base_commits`: the first is the start, the others are merged in order; none means HEAD.
 * Errors   `ContextError` for a missing commit, a conflict (naming the files), a branch in use elsewhere, or where the
 *          part of the repository to work in is not there.
 */
export async function prepareWorkTree(parts: WorkTreeParts, lease: Lease): Promise<WorkTree> {
  const { git, workspaceDir, taskDir } = parts;
  const repository = findRepository(parts.gitRoot, parts.repositoryDir);
  const path = join(workspaceDir, worktreesDir, slugOf(lease.branch));
  const remembered = join(taskDir, 'base');
  mkdirSync(dirname(path), { recursive: true });
  const known = rememberedBase(remembered);
  if (existsSync(join(path, '.git')) && known !== null) {
    const { exit } = await git(['rev-parse', '--git-dir'], { directory: path });
    if (exit === 0) return { path, folder: partOf(path, parts.subpath), base: known, branch: lease.branch };
  }
  if (repository === workspaceDir) writeFileSync(join(workspaceDir, dirname(worktreesDir), '.gitignore'), '*\n');
  rmSync(path, { recursive: true, force: true });
  await git(['worktree', 'prune'], { directory: repository });
  const base = await addWorkTree(git, repository, path, lease);
  mkdirSync(taskDir, { recursive: true, mode: 0o700 });
  rmSync(remembered, { recursive: true, force: true });
  writeFileSync(remembered, `${base}\n`);
  const place = join(taskDir, 'worktree');
  rmSync(place, { recursive: true, force: true });
  writeFileSync(place, `${basename(path)}\n`);
  return { path, folder: partOf(path, parts.subpath), base, branch: lease.branch };
}

/** A link in the repository could lead anywhere, and OpenCode takes the folder it begins in for its own. */
export function partOf(path: string, subpath: string): string {
  const folder = join(path, subpath);
  try {
    const real = realpathSync(folder);
    const tree = realpathSync(path);
    if ((real === tree || real.startsWith(`${tree}/`)) && statSync(real).isDirectory()) return folder;
  } catch {
    // Said below.
  }
  throw contextError(
    `GIT_REPO_SUBPATH is ${subpath}, and the repository has no such folder. Correct it, or begin from a commit that has it.`,
  );
}

/** The agent can write this file, and what it says becomes an argument of git: it is a commit's id or nothing. */
function rememberedBase(file: string): string | null {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? text : null;
  } catch {
    return null;
  }
}

async function addWorkTree(git: Git, repository: string, path: string, lease: Lease): Promise<string> {
  const starts = lease.base_commits.length > 0 ? lease.base_commits : ['HEAD'];
  const commits: string[] = [];
  for (const start of starts) commits.push(await resolveCommit(git, repository, start));
  const [first = '', ...others] = commits;
  const isKnown =
    (await git(['show-ref', '--verify', '--quiet', `refs/heads/${lease.branch}`], { directory: repository })).exit ===
    0;
  const added = await git(
    isKnown
      ? ['worktree', 'add', '--quiet', path, lease.branch]
      : ['worktree', 'add', '--quiet', '-b', lease.branch, path, first],
    { directory: repository },
  );
  if (added.exit !== 0)
    throw contextError(`Git could not make a worktree for ${lease.branch}: ${firstLine(added.stderr)}`);
  if (isKnown) return mergeBase(git, path, first);
  for (const other of others) await mergeOrUndo(git, repository, path, lease, other);
  return resolveCommit(git, path, 'HEAD');
}

async function resolveCommit(git: Git, directory: string, name: string): Promise<string> {
  const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`], { directory });
  if (found.exit === 0) return found.stdout.trim();
  throw contextError(
    name === 'HEAD'
      ? 'The repository has no commit yet. Commit something first.'
      : `The commit ${name} that this task builds on is not in the repository of the workspace.`,
  );
}

async function mergeBase(git: Git, directory: string, start: string): Promise<string> {
  const found = await git(['merge-base', start, 'HEAD'], { directory });
  return found.exit === 0 ? found.stdout.trim() : start;
}

async function mergeOrUndo(git: Git, repository: string, path: string, lease: Lease, commit: string): Promise<void> {
  const options = { directory: path, identity: lease.identity };
  const merged = await git(['merge', '--no-edit', '--no-verify', '--quiet', commit], options);
  if (merged.exit === 0) return;
  const conflicts = (await git(['diff', '--name-only', '--diff-filter=U', '-z', '--no-ext-diff'], options)).stdout
    .split('\0')
    .filter((name) => name !== '');
  await git(['worktree', 'remove', '--force', path], { directory: repository });
  await git(['branch', '-D', '--', lease.branch], { directory: repository });
  throw contextError(
    conflicts.length > 0
      ? `The results this task builds on contradict each other in ${conflicts.slice(0, 20).join(', ')}. Merge them by hand, or let the steps run one after the other.`
      : `The commit ${commit} could not be merged: ${firstLine(merged.stderr)}`,
  );
}

const firstLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
