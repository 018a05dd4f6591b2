import type { ServiceRequests } from '../../contract.ts';
import type { Run } from './checkpoint.ts';

export type Unpushed = ServiceRequests['unpushedWork']['data']['repositories'][number];

const mostBranches = 20;
/** States of remotes that a checkpoint is compared with. */
const mostStates = 20_000;
const asList = { maxBytes: 16 * 1024 * 1024 } as const;

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/**
 * What of a repository no remote has, as far as it was last asked; null where that is nothing.
 *
 * Bound    ignored files do not count, nor do submodules: what is in them is their own repository's.
 */
export async function unpushedIn(run: Run, path: string): Promise<Unpushed | null> {
  const ofAll = (...more: string[]): Promise<string> =>
    run(['rev-list', '--branches', ...more, '--not', '--remotes'], asList);
  // HEAD may be on a branch without a commit.
  const commits = linesOf(await ofAll('HEAD').catch(() => ofAll()));
  const branches = await branchesAhead(run);
  const stashes = linesOf(await run(['stash', 'list', '--format=%H']).catch(() => '')).length;
  const files = await filesOf(run);
  const checkpoints = await checkpointsOnlyHere(run);
  return commits.length + stashes + files + checkpoints === 0
    ? null
    : { path, files, commits: commits.length, branches, stashes, checkpoints };
}

async function branchesAhead(run: Run): Promise<string[]> {
  const names = linesOf(await run(['for-each-ref', '--format=%(refname)', 'refs/heads'], asList));
  const ahead: string[] = [];
  for (const name of names) {
    if (ahead.length >= mostBranches) break;
    const count = await run(['rev-list', '--count', '--max-count=1', name, '--not', '--remotes']);
    if (count !== '0') ahead.push(name.slice('refs/heads/'.length, 300));
  }
  return ahead;
}

/** Of every work tree of it. */
async function filesOf(run: Run): Promise<number> {
  const listing = await run(['worktree', 'list', '--porcelain'], asList);
  let files = 0;
  for (const line of linesOf(listing)) {
    if (!line.startsWith('worktree ')) continue;
    const directory = line.slice('worktree '.length);
    const changed = await run(['status', '--porcelain', '-z', '--untracked-files=all', '--no-renames'], {
      directory,
      ...asList,
    }).catch(() => '');
    files += changed.split('\0').filter((entry) => entry !== '').length;
  }
  return files;
}

/** A checkpoint whose very files were pushed later is not lost with the workspace. */
async function checkpointsOnlyHere(run: Run): Promise<number> {
  const states = linesOf(await run(['for-each-ref', '--format=%(tree)', 'refs/checkpoints'], asList));
  if (states.length === 0) return 0;
  const pushed = new Set(
    linesOf(await run(['log', '--remotes', '--format=%T', `--max-count=${mostStates}`], asList).catch(() => '')),
  );
  return states.filter((tree) => !pushed.has(tree)).length;
}
