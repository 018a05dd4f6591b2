import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Lease } from '../../contract.ts';
import { commitMessage } from './commit.ts';
import type { Git, GitOptions } from './git.ts';
import type { WorkTree } from './worktree.ts';

export interface Checkpoint {
  /** From 1, counted up for each task. */
  readonly number: number;
  /** `refs/checkpoints/<task>/<number>` */
  readonly ref: string;
  readonly commit: string;
  /** False where the last checkpoint holds the very same already. */
  readonly isNew: boolean;
  /** Files that are too large to be saved. */
  readonly left_out: number;
}

export interface CheckpointParts {
  readonly git: Git;
  readonly workTree: Pick<WorkTree, 'path' | 'base'>;
  readonly lease: Pick<Lease, 'task_id' | 'title' | 'identity'>;
  /** Directory of the task in the agent volume; holds the index while it is needed. */
  readonly taskDir: string;
}

/** All steps together; what remains of the 30 s that a container is given is for ending and reporting. */
const limitMs = 10_000;
/** A number beyond this was not counted up to. */
const maxCheckpoints = 1_000_000;
/** New files above this are not saved: a build's output would take the time that all the work has. */
const largestBytes = 64 * 1024 * 1024;
const listBytes = 64 * 1024 * 1024;

/** What the repository's own configuration could make of modes and line ends. */
const asTheyAre = ['core.fileMode=true', 'core.symlinks=true', 'core.autocrlf=false', 'core.safecrlf=false'].flatMap(
  (setting) => ['-c', setting],
);

/**
 * Saves what an attempt has not committed as a commit that no branch holds; null where there is nothing to save.
 *
 * Exact    bytes, modes and links are those of the work tree, whatever attributes make of them in commits. Ignored
 *          files, what is in submodules and nested repositories, and new files above 64 MiB are not saved.
 * Safety   work tree, index, HEAD and branches stay as they are. The index used is a new one, so no flag that the
 *          agent set in its own (`assume-unchanged`, `skip-worktree`) hides a change.
 * Errors   throws when git cannot do it in time.
 */
export async function saveCheckpoint(parts: CheckpointParts): Promise<Checkpoint | null> {
  const { lease, workTree } = parts;
  const run = makeRun(parts.git, workTree.path);
  return withIndex(parts.taskDir, async (index) => {
    const head = await headOf(run, workTree);
    const { tree, leftOut } = await treeOf(run, workTree.path, index, head);
    if (tree === (await run(['rev-parse', '--verify', `${head}^{tree}`]))) return null;
    const last = (await listCheckpoints(run, lease.task_id)).at(-1);
    if (last && last.tree === tree && last.parent === head) return { ...last, isNew: false, left_out: leftOut };
    const commit = await run(['commit-tree', '--no-gpg-sign', '-p', head, '-F', '-', tree], {
      identity: lease.identity,
      input: `Checkpoint: ${commitMessage(lease)}`,
    });
    return { ...(await keep(run, lease.task_id, last?.number ?? 0, commit)), isNew: true, left_out: leftOut };
  });
}

/** Gives a commit the next number of a task. */
export async function keep(
  run: Run,
  taskId: string,
  lastNumber: number,
  commit: string,
): Promise<Pick<Checkpoint, 'number' | 'ref' | 'commit'>> {
  const number = lastNumber + 1;
  const ref = `${refsOf(taskId)}${number}`;
  // The empty old value: a ref that somebody made meanwhile is not replaced.
  await run(['update-ref', ref, commit, '']);
  return { number, ref, commit };
}

export type Run = (args: readonly string[], options?: Partial<GitOptions>) => Promise<string>;

/** Git in a work tree, all of whose calls together have one deadline; rejects unless it exits with 0. */
export function makeRun(git: Git, directory: string, withinMs = limitMs): Run {
  const deadline = performance.now() + withinMs;
  return async (args, options = {}) => {
    const timeoutMs = Math.max(1, Math.round(deadline - performance.now()));
    const done = await git(args, { directory, timeoutMs, ...options });
    if (done.exit === 0) return done.stdout.trim();
    const [verb = ''] = args.filter((word) => word !== '-c' && !word.includes('='));
    throw new Error(done.timed_out ? 'git took too long' : `git ${verb}: ${done.stderr.trim().slice(0, 300)}`);
  };
}

/** Runs `work` with the name of an index that is not there, before and after. */
export async function withIndex<Result>(taskDir: string, work: (index: string) => Promise<Result>): Promise<Result> {
  const index = join(taskDir, 'checkpoint-index');
  const forget = (): void => {
    for (const file of [index, `${index}.lock`]) rmSync(file, { recursive: true, force: true });
  };
  mkdirSync(taskDir, { recursive: true, mode: 0o700 });
  forget();
  try {
    return await work(index);
  } finally {
    forget();
  }
}

/** The agent may have left HEAD on a branch without a commit. */
export const headOf = (run: Run, { base }: Pick<WorkTree, 'base'>): Promise<string> =>
  run(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}']).catch(() => base);

/** The tree of what is in the work tree now; `index` then holds it. */
export async function treeOf(
  run: Run,
  path: string,
  index: string,
  head: string,
): Promise<{ tree: string; leftOut: number }> {
  await run(['read-tree', head], { index });
  const large = await tooLarge(run, path, { index });
  const paths = ['.', ...large.map((name) => `:(top,exclude,literal)${name}`)];
  await run([...asTheyAre, 'add', '--all', '--pathspec-from-file=-', '--pathspec-file-nul'], {
    index,
    input: paths.join('\0'),
  });
  await takeBytesAsTheyAre(run, index);
  return { tree: await run(['write-tree'], { index }), leftOut: large.length };
}

const asList = { maxBytes: listBytes } as const;

/** New files of a work tree that no checkpoint holds; counted against its own index unless another is given. */
export async function tooLarge(run: Run, path: string, options: Pick<GitOptions, 'index'> = {}): Promise<string[]> {
  const listing = await run(['ls-files', '-z', '--others', '--exclude-standard'], { ...options, ...asList });
  return listing.split('\0').filter((name) => {
    const found = name === '' ? undefined : lstatSync(join(path, name), { throwIfNoEntry: false });
    return found?.isFile() === true && found.size > largestBytes;
  });
}

interface Entry {
  readonly mode: string;
  readonly id: string;
  readonly path: string;
}

/** Plain files that an index names, but those whose names are no UTF-8. */
const plainEntries = (listing: string): Entry[] =>
  listing.split('\0').flatMap((line) => {
    const [, mode = '', id = '', path = ''] = /^(100\d{3}) ([0-9a-f]+) 0\t(.*)$/s.exec(line) ?? [];
    return path === '' || path.includes('\uFFFD') ? [] : [{ mode, id, path }];
  });

/** As `--stdin-paths` reads a name. */
const quoted = ({ path }: Entry): string => (/^"|[\n\\]/.test(path) ? JSON.stringify(path) : path);

/** Entries whose blob is not byte for byte what lies in the work tree, with the id that it would have. */
export async function converted(run: Run, index: string): Promise<readonly Entry[]> {
  const entries = plainEntries(await run(['ls-files', '-s', '-z'], { index, ...asList }));
  if (entries.length === 0) return [];
  const input = `${entries.map(quoted).join('\n')}\n`;
  const ids = (await run(['hash-object', '--no-filters', '--stdin-paths'], { input, ...asList })).split('\n');
  return entries.flatMap((entry, at) => (ids[at] === entry.id ? [] : [{ ...entry, id: ids[at] ?? '' }]));
}

/** `git add` stores what attributes make of a file: other line ends, another encoding, `$Id$` without its value. */
async function takeBytesAsTheyAre(run: Run, index: string): Promise<void> {
  const others = await converted(run, index);
  if (others.length === 0) return;
  const input = `${others.map(quoted).join('\n')}\n`;
  await run(['hash-object', '-w', '--no-filters', '--stdin-paths'], { input, ...asList });
  await run(['update-index', '-z', '--index-info'], {
    index,
    input: others.map(({ mode, id, path }) => `${mode} ${id}\t${path}\0`).join(''),
  });
}

export interface KnownCheckpoint extends Pick<Checkpoint, 'number' | 'ref' | 'commit'> {
  readonly tree: string;
  readonly parent: string;
  readonly at: string;
}

const refsOf = (taskId: string): string => `refs/checkpoints/${taskId}/`;

/** The checkpoints of a task, the oldest first; what has no number of ours is none. */
export async function listCheckpoints(run: Run, taskId: string): Promise<readonly KnownCheckpoint[]> {
  const prefix = refsOf(taskId);
  const format = '%(refname) %(objectname) %(tree) %(parent) %(committerdate:unix)';
  const lines = await run(['for-each-ref', `--format=${format}`, prefix], asList);
  return lines
    .split('\n')
    .flatMap((line) => {
      const [ref = '', commit = '', tree = '', parent = '', seconds = ''] = line.split(' ');
      const number = Number(ref.slice(prefix.length));
      return Number.isInteger(number) && number > 0 && number < maxCheckpoints && tree !== ''
        ? [{ number, ref, commit, tree, parent, at: new Date(Number(seconds) * 1_000).toISOString() }]
        : [];
    })
    .sort((one, other) => one.number - other.number);
}
