import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Lease } from '../../contract.ts';
import { commitMessage } from './commit.ts';
import type { Git, GitOptions } from './git.ts';
import type { WorkTree } from './worktree.ts';

export interface Checkpoint {
  /** `refs/checkpoints/<task>/<n>`, n from 1. */
  readonly ref: string;
  readonly commit: string;
}

export interface CheckpointParts {
  readonly git: Git;
  readonly workTree: WorkTree;
  readonly lease: Lease;
  /** Directory of the task in the agent volume; holds the index while it is needed. */
  readonly taskDir: string;
}

/** All steps together; what remains of the 30 s that a container is given is for ending and reporting. */
const limitMs = 10_000;
/** A number beyond this was not counted up to. */
const maxCheckpoints = 1_000_000;

/**
 * Saves what an attempt has not committed as a commit that no branch holds; null where there is nothing to save.
 *
 * Safety   work tree, index, HEAD and branches stay as they are. The index used is a new one, so no flag that the
 *          agent set in its own (`assume-unchanged`, `skip-worktree`) hides a change. Ignored files are not saved.
 * Errors   throws when git cannot do it in time.
 */
export async function saveCheckpoint(parts: CheckpointParts): Promise<Checkpoint | null> {
  const { git, workTree, lease, taskDir } = parts;
  const index = join(taskDir, 'checkpoint-index');
  const deadline = performance.now() + limitMs;
  const run = async (args: readonly string[], options: Partial<GitOptions> = {}): Promise<string> => {
    const timeoutMs = Math.max(1, Math.round(deadline - performance.now()));
    const done = await git(args, { directory: workTree.path, timeoutMs, ...options });
    if (done.exit !== 0)
      throw new Error(done.timed_out ? 'git took too long' : `git ${args[0]}: ${done.stderr.trim().slice(0, 300)}`);
    return done.stdout.trim();
  };

  const forgetIndex = (): void => {
    for (const file of [index, `${index}.lock`]) rmSync(file, { recursive: true, force: true });
  };
  mkdirSync(taskDir, { recursive: true, mode: 0o700 });
  forgetIndex();
  try {
    const head = await headOf(run, workTree);
    await run(['read-tree', head], { index });
    await run(['add', '--all', '--', '.'], { index });
    const tree = await run(['write-tree'], { index });
    if (tree === (await run(['rev-parse', '--verify', `${head}^{tree}`]))) return null;
    const commit = await run(['commit-tree', '--no-gpg-sign', '-p', head, '-F', '-', tree], {
      identity: lease.identity,
      input: `Checkpoint: ${commitMessage(lease)}`,
    });
    const ref = await freeRef(run, lease.task_id);
    // The empty old value: a ref that somebody made meanwhile is not replaced.
    await run(['update-ref', ref, commit, '']);
    return { ref, commit };
  } finally {
    forgetIndex();
  }
}

type Run = (args: readonly string[], options?: Partial<GitOptions>) => Promise<string>;

/** The agent may have left HEAD on a branch without a commit. */
const headOf = (run: Run, { base }: WorkTree): Promise<string> =>
  run(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}']).catch(() => base);

async function freeRef(run: Run, taskId: string): Promise<string> {
  const prefix = `refs/checkpoints/${taskId}/`;
  const refs = await run(['for-each-ref', '--format=%(refname)', prefix]);
  const taken = refs.split('\n').map((ref) => Number(ref.slice(prefix.length)));
  return `${prefix}${Math.max(0, ...taken.filter((n) => n < maxCheckpoints)) + 1}`;
}
