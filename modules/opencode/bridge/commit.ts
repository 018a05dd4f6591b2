import type { Evidence, Lease } from '../../contract.ts';
import type { Git } from './git.ts';
import type { WorkTree } from './worktree.ts';

export interface WorkDone {
  readonly diff: Evidence['diff'];
  readonly changedFiles: readonly string[];
  /** Head of the branch when it moved, else null. */
  readonly commit: string | null;
  readonly isNewCommit: boolean;
}

export const nothingDone: WorkDone = {
  diff: { files: 0, additions: 0, deletions: 0 },
  changedFiles: [],
  commit: null,
  isNewCommit: false,
};

const maxFiles = 5_000;
const patchBytes = 32 * 1024;
/** Flags with which git starts no program of the repository's choice to show a difference. */
const plainDiff = ['--no-ext-diff', '--no-textconv', '--no-renames'];
/** With which an attribute (`-diff`) or a setting can hide no line and no file of a commit either. */
const wholeDiff = [
  ...plainDiff,
  '--text',
  '--no-color',
  '--no-relative',
  '--ignore-submodules=none',
  '--submodule=short',
];

/** Commits everything the harness left uncommitted to the task's branch and measures the whole against its base. */
export async function commitWork(git: Git, workTree: WorkTree, lease: Lease): Promise<WorkDone> {
  const options = { directory: workTree.path, identity: lease.identity };
  // The agent may have changed branches: the files count, and they go to the task's branch.
  await git(['symbolic-ref', 'HEAD', `refs/heads/${workTree.branch}`], options);
  await git(['add', '--all', '--', '.'], options);
  const staged = await git(['diff', '--cached', '--quiet', ...plainDiff], options);
  if (staged.exit === 1) {
    const made = await git(['commit', '--quiet', '--no-verify', '--no-gpg-sign', '--cleanup=verbatim', '-F', '-'], {
      ...options,
      input: commitMessage(lease),
    });
    if (made.exit !== 0) throw new Error(`Git could not commit the work: ${made.stderr.trim().slice(0, 300)}`);
  }
  return { ...(await measure(git, workTree)), isNewCommit: staged.exit === 1 };
}

export function commitMessage(lease: Pick<Lease, 'title' | 'task_id'>): string {
  const title = lease.title.replace(/\s+/g, ' ').trim().slice(0, 72) || 'Work of an agent';
  return `${title}\n\nAgent-Task: ${lease.task_id}\n`;
}

async function measure(git: Git, { path, base }: WorkTree): Promise<Omit<WorkDone, 'isNewCommit'>> {
  const head = (await git(['rev-parse', 'HEAD'], { directory: path })).stdout.trim();
  const stat = await git(['diff', '--numstat', '-z', ...wholeDiff, '--end-of-options', base, head, '--'], {
    directory: path,
  });
  const { diff, files } = parseNumstat(stat.stdout);
  return { diff, changedFiles: files.slice(0, maxFiles), commit: head !== '' && head !== base ? head : null };
}

/** `<added>\t<deleted>\t<path>\0`; binary files, and those with the attribute `-diff`, count `-`: files, no lines. */
export function parseNumstat(text: string): { diff: Evidence['diff']; files: string[] } {
  const files: string[] = [];
  let additions = 0;
  let deletions = 0;
  for (const line of text.split('\0')) {
    const [added, deleted, ...path] = line.split('\t');
    if (path.length === 0) continue;
    files.push(path.join('\t'));
    additions += Number(added) || 0;
    deletions += Number(deleted) || 0;
  }
  return { diff: { files: files.length, additions, deletions }, files };
}

/**
 * The change as text for the person who decides: base to commit, every file as text; cut where it is long.
 *
 * Errors   throws when git cannot show it: an empty patch must never stand for a change.
 */
export async function patchOf(
  git: Git,
  { path, base }: WorkTree,
  { commit }: Pick<WorkDone, 'commit'>,
): Promise<{ patch: string; patch_truncated: boolean }> {
  if (commit === null) return { patch: '', patch_truncated: false };
  const shown = await git(['diff', ...wholeDiff, '--end-of-options', base, commit, '--'], {
    directory: path,
    maxBytes: patchBytes + 1,
  });
  if (shown.exit !== 0) throw new Error(`Git could not show the change: ${shown.stderr.trim().slice(0, 300)}`);
  const bytes = Buffer.from(shown.stdout);
  return {
    patch: visible(bytes.subarray(0, patchBytes).toString('utf8')),
    patch_truncated: bytes.length > patchBytes,
  };
}

/** Control characters as their pictures: none can move a cursor, and a NUL can be stored nowhere. */
const visible = (text: string): string =>
  text.replace(/[\0-\x08\x0b-\x1f]/g, (character) => String.fromCharCode(0x2400 + character.charCodeAt(0)));
