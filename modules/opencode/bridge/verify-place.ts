import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Git } from './git.ts';

/** A fresh checkout and empty directories for one run of a verify command. */
export interface VerifyPlace {
  readonly tree: string;
  readonly home: string;
  readonly temporary: string;
  /** Removes all of it without a program, so that it works when the runner is gone already. Never throws. */
  remove(): void;
}

const prefix = 'verify-';

/**
 * Checks `commit` out into a detached worktree of its own, below a directory with a name that nobody could know.
 *
 * Errors   throws when git cannot make it; nothing is left then.
 */
export async function makeVerifyPlace(parts: {
  readonly git: Git;
  readonly workTree: string;
  readonly taskDir: string;
  readonly commit: string;
}): Promise<VerifyPlace> {
  removeVerifyPlaces(parts.taskDir);
  mkdirSync(parts.taskDir, { recursive: true, mode: 0o700 });
  const root = mkdtempSync(join(parts.taskDir, prefix));
  // Git names its record of a worktree after the last part of the path.
  const tree = join(root, `outrigger-${basename(root)}`);
  let record: string | null = null;
  const remove = (): void => {
    removeQuietly(root);
    if (record !== null) removeQuietly(record);
  };
  try {
    const options = { directory: parts.workTree };
    await parts.git(['worktree', 'prune'], options);
    const added = await parts.git(['worktree', 'add', '--detach', '--quiet', '--', tree, parts.commit], options);
    if (added.exit !== 0) throw new Error(`Git could not check ${parts.commit} out: ${added.stderr.trim()}`);
    // Asked for before the command runs: afterwards the answer would be that of the agent's code.
    const found = (await parts.git(['rev-parse', '--absolute-git-dir'], { directory: tree })).stdout.trim();
    if (basename(dirname(found)) === 'worktrees' && existsSync(join(found, 'gitdir'))) record = found;
    const [home, temporary] = [join(root, 'home'), join(root, 'tmp')];
    for (const directory of [home, temporary]) mkdirSync(directory, { mode: 0o700 });
    return { tree, home, temporary, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Removes what a killed bridge left of its verify runs. Git's own record of them goes with the next `worktree prune`. */
export function removeVerifyPlaces(taskDir: string): void {
  try {
    for (const name of readdirSync(taskDir)) if (name.startsWith(prefix)) removeQuietly(join(taskDir, name));
  } catch {
    return;
  }
}

/** Package managers leave directories that cannot be written; what still resists must not cost the evidence. */
export function removeQuietly(path: string): void {
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  try {
    remove();
  } catch {
    try {
      makeWritable(path);
      remove();
    } catch {
      return;
    }
  }
}

function makeWritable(directory: string): void {
  chmodSync(directory, 0o700);
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) makeWritable(join(directory, entry.name));
}
