import { chmodSync, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import {
  converted,
  headOf,
  listCheckpoints,
  makeRun,
  saveCheckpoint,
  treeOf,
  withIndex,
  type Checkpoint,
  type CheckpointParts,
  type Run,
} from './checkpoint.ts';

export interface RestoreParts extends CheckpointParts {
  readonly repository: string;
  readonly branch: string;
  readonly number: number;
  /** Over work that is not committed, once that has a checkpoint of its own. */
  readonly force: boolean;
}

/** `saved`: what lay there before, where that was not committed. */
export interface Restored {
  readonly applied: boolean;
  readonly commit: string;
  readonly saved: Pick<Checkpoint, 'number' | 'commit'> | null;
}

const restoreMs = 120_000;

/**
 * Makes the files of a task's work tree those of a checkpoint, byte for byte; a work tree that is gone is made anew.
 * Branch, HEAD and index stay as they are, and so do ignored files.
 *
 * Order    what is there is saved first. Where it was not committed, nothing more happens unless `force` is said.
 * Errors   throws where there is no such checkpoint, or when git cannot do it.
 */
export async function restoreCheckpoint(parts: RestoreParts): Promise<Restored> {
  const { git, workTree, lease, taskDir, number } = parts;
  const found = (await listCheckpoints(makeRun(git, parts.repository), lease.task_id)).find(
    (one) => one.number === number,
  );
  if (!found) throw new Error(`Task ${lease.task_id} has no checkpoint ${number} here.`);
  if (!existsSync(join(workTree.path, '.git'))) await makeAgain(parts, found.parent);
  const saved = await saveCheckpoint(parts);
  const answer = { commit: found.commit, saved: saved && { number: saved.number, commit: saved.commit } };
  if (saved && saved.commit !== found.commit && !parts.force) return { ...answer, applied: false };
  const run = makeRun(git, workTree.path, restoreMs);
  await withIndex(taskDir, async (index) => {
    await treeOf(run, workTree.path, index, await headOf(run, workTree));
    await run(['read-tree', '--reset', '-u', found.commit], { index });
    await writeBytesAsTheyWere(run, workTree.path, index);
  });
  return { ...answer, applied: true };
}

async function makeAgain({ git, repository, workTree, branch }: RestoreParts, parent: string): Promise<void> {
  const run = makeRun(git, repository, restoreMs);
  await run(['worktree', 'prune']);
  const isThere = await run(['show-ref', '--verify', '--quiet', `refs/heads/${branch}`]).then(
    () => true,
    () => false,
  );
  const target = isThere ? [workTree.path, branch] : ['--detach', workTree.path, parent];
  await run(['worktree', 'add', '--quiet', '--force', ...target]);
}

/** A checkout writes what attributes make of a blob; where that is not the blob itself, it is put there by hand. */
async function writeBytesAsTheyWere(run: Run, path: string, index: string): Promise<void> {
  const wrong = new Set((await converted(run, index)).map((entry) => entry.path));
  if (wrong.size === 0) return;
  const listing = await run(['ls-files', '-s', '-z'], { index, maxBytes: 64 * 1024 * 1024 });
  for (const line of listing.split('\0')) {
    const [, mode = '', id = '', name = ''] = /^(\d{6}) ([0-9a-f]+) 0\t(.*)$/s.exec(line) ?? [];
    if (!wrong.has(name)) continue;
    const temporary = join(path, await run(['unpack-file', id]));
    chmodSync(temporary, mode === '100755' ? 0o755 : 0o644);
    renameSync(temporary, join(path, name));
  }
}
