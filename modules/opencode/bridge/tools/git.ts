import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Git } from '../git.ts';
import type { GitAccess } from '../git-access.ts';
import type { Pushed } from '../push-work.ts';
import { findRepository } from '../worktree.ts';
import { isBelow, type Place } from './place.ts';
import type { ToolCommands } from './tools.ts';

export interface GitToolParts {
  readonly place: Place;
  readonly git: Git;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
  /** Pushes a commit over the broker; rejects where the service does not let this bridge do so now. */
  readonly push: (what: { path: string; branch: string; commit: string; origin: string }) => Promise<Pushed>;
}

export type { GitAccess };

const longestMessage = 16 * 1024;
const mostTrailers = 10;
/** As the broker takes them; what it lets through is its own affair. */
const branchPattern = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$/;

/** The tools for git: in the person's checkout, with settings by which the repository can name no program. */
export function makeGitTools(parts: GitToolParts): Pick<ToolCommands, 'gitCommit' | 'gitPush'> {
  const { git, place } = parts;
  let last: Promise<unknown> = Promise.resolve();
  /** Two at once would fight for git's lock. */
  const oneByOne = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = last.then(work, work);
    last = mine.catch(() => undefined);
    return mine;
  };

  async function repositoryAt(path: string | undefined): Promise<string> {
    const folder =
      path === undefined ? realpathSync(findRepository(parts.gitRoot, parts.repositoryDir)) : place.find(path);
    const found = await git(['rev-parse', '--show-toplevel'], { directory: folder });
    const top = found.stdout.trim();
    // `core.worktree` of a repository may name any folder, from which files would be taken.
    const isOwn = path === undefined ? top === folder : isBelow(top, place.root()) && isBelow(folder, top);
    if (found.exit !== 0 || !isOwn || !existsSync(join(top, '.git')))
      throw new Error(`${path ?? folder} is in no git repository of the workspace.`);
    return top;
  }

  async function answer(args: readonly string[], directory: string, what: string): Promise<string> {
    const result = await git(args, { directory });
    if (result.exit !== 0) throw new Error(`${what}${lastLine(result.stderr)}`);
    return result.stdout.trim();
  }

  const branchOf = (directory: string): Promise<string> =>
    answer(['symbolic-ref', '--short', 'HEAD'], directory, 'No branch is checked out. Check one out first. ');

  return {
    gitCommit: ({ message, path, identity, trailers = [] }) =>
      oneByOne(async () => {
        const text = messageOf(message, trailers);
        mustBeIdentity(identity);
        const directory = await repositoryAt(path);
        const branch = await branchOf(directory);
        await answer(['add', '--all', '--', '.'], directory, 'Git could not take the changes: ');
        const staged = await git(['diff', '--cached', '--name-only', '-z', '--no-renames', '--no-ext-diff'], {
          directory,
        });
        const files = staged.stdout.split('\0').filter((name) => name !== '').length;
        if (files === 0) throw new Error('Nothing has changed since the last commit.');
        const made = await git(['commit', '--quiet', '--no-verify', '--no-gpg-sign', '--cleanup=verbatim', '-F', '-'], {
          directory,
          identity,
          input: text,
        });
        if (made.exit !== 0) throw new Error(`Git could not commit: ${lastLine(made.stderr)}`);
        return { commit: await answer(['rev-parse', 'HEAD'], directory, 'Git could not commit: '), branch, files };
      }),

    gitPush: ({ path, branch: wanted }) =>
      oneByOne(async () => {
        const directory = await repositoryAt(path);
        const branch = wanted ?? (await branchOf(directory));
        if (typeof branch !== 'string' || !branchPattern.test(branch))
          throw new Error('branch must be the name of a branch, such as agent/my-change.');
        const commit = await answer(
          ['rev-parse', '--verify', 'HEAD^{commit}'],
          directory,
          'There is no commit to push. ',
        );
        const origin = (await git(['config', '--get', 'remote.origin.url'], { directory })).stdout.trim();
        const pushed = await parts.push({ path: directory, branch, commit, origin });
        if (pushed === null) throw new Error(notPushed);
        if ('problem' in pushed) throw new Error(`The push was refused: ${pushed.problem}`);
        return { repository: pushed.repository, branch, commit };
      }),
  };
}

const notPushed =
  'The service may not push to this repository: there is no credential for it, or REPOS_JSON keeps it from being ' +
  'pushed. The commit is on its local branch; push it from a terminal of the workspace.';

function messageOf(message: unknown, trailers: unknown): string {
  if (typeof message !== 'string' || message.trim() === '' || message.length > longestMessage || message.includes('\0'))
    throw new Error(`message must be text of 1 to ${longestMessage} characters.`);
  const isTrailer = (line: unknown): boolean =>
    typeof line === 'string' && /^[A-Z][A-Za-z-]{1,50}: [^\0\r\n]{1,300}$/.test(line);
  if (!Array.isArray(trailers) || trailers.length > mostTrailers || !trailers.every(isTrailer))
    throw new Error('trailers must be lines such as "Agent-Task: <id>".');
  return [message.trim(), ...(trailers.length > 0 ? [trailers.join('\n')] : [])].join('\n\n') + '\n';
}

function mustBeIdentity(identity: unknown): void {
  const { name, email } = (identity ?? {}) as { name?: unknown; email?: unknown };
  const isPlain = (text: unknown): boolean =>
    typeof text === 'string' && text.length <= 300 && !/[\0\r\n<>]/.test(text);
  if (!isPlain(name) || name === '' || !isPlain(email))
    throw new Error('identity must hold the name and the email of the owner.');
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
