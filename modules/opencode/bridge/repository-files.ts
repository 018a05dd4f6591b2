import type { CommittedState } from '../../contract.ts';
import type { Git } from './git.ts';
import type { Commands } from './link.ts';
import { findRepository } from './worktree.ts';

export interface RepositoryFilesParts {
  readonly git: Git;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
}

const mostCommits = 10;
const mostFiles = 1_000;
const mostMatches = 200;
const matchCharacters = 500;
const fileBytes = 512 * 1024;
/** A frame is 1 MiB at most, and text can grow when it becomes JSON. */
const answerBytes = 900 * 1024;
const identity = { name: 'Outrigger', email: 'outrigger@localhost' };

/** A plain file, executable or not; links and submodules have other modes. Source: git-ls-tree(1) */
const plainModes = ['100644', '100755'];

/**
 * Answers what is committed in the repository, for agents of the service.
 *
 * Safety   only objects of git are read, never the disk: no link leads out, and nothing that was not committed is seen.
 * Errors   each rejects with a sentence for the person.
 */
export function makeRepositoryFiles(
  parts: RepositoryFilesParts,
): Pick<Commands, 'listCommitted' | 'readCommitted' | 'searchCommitted'> {
  const at = async (state: CommittedState) => {
    const directory = findRepository(parts.gitRoot, parts.repositoryDir);
    const run = async (args: readonly string[], maxBytes?: number): Promise<string> => {
      const options = { directory, identity, ...(maxBytes === undefined ? {} : { maxBytes }) };
      const result = await parts.git(['--literal-pathspecs', ...args], options);
      if (result.exit !== 0) throw new Error(`Git could not ${args[0] ?? ''}: ${lastLine(result.stderr)}`);
      return result.stdout;
    };
    return { run, directory, commit: await commitOf(run, state) };
  };

  return {
    async listCommitted({ folder, ...state }) {
      mustBePath(folder);
      const { run, commit } = await at(state);
      const files = entriesIn(await run(['ls-tree', '-z', '-l', commit, '--', `${folder}/`]));
      if (files.length > mostFiles) throw new Error(`${folder} holds more than ${mostFiles} files.`);
      return { files: files.map(({ path, bytes }) => ({ path, bytes })) };
    },
    async readCommitted({ path, ...state }) {
      mustBePath(path);
      const { run, commit } = await at(state);
      const [file] = entriesIn(await run(['ls-tree', '-z', '-l', commit, '--', path]));
      if (file?.path !== path) throw new Error(`There is no file ${path} in what is committed.`);
      if (file.bytes > fileBytes) throw new Error(`${path} is larger than 512 KiB.`);
      const text = await run(['cat-file', 'blob', file.id]);
      if (Buffer.byteLength(text) !== file.bytes || text.includes('\0')) throw new Error(`${path} is no text.`);
      if (Buffer.byteLength(JSON.stringify(text)) > answerBytes) throw new Error(`${path} is too large to be sent.`);
      return { text };
    },
    async searchCommitted({ text, ...state }) {
      if (typeof text !== 'string' || text === '' || text.length > matchCharacters || /[\0\n]/.test(text))
        throw new Error('text must be one line of 1 to 500 characters.');
      const { commit, directory } = await at(state);
      const args = ['grep', '-z', '-n', '-I', '--full-name', '--fixed-strings', '-e', text, commit, '--'];
      const found = await parts.git(args, { directory, maxBytes: answerBytes / 4 });
      // 1 says that nothing was found.
      if (found.exit !== 0 && found.exit !== 1) throw new Error(`Git could not search: ${lastLine(found.stderr)}`);
      return { matches: matchesIn(found.stdout, commit).slice(0, mostMatches) };
    },
  };
}

type Run = (args: readonly string[], maxBytes?: number) => Promise<string>;

/** One commit for a state. Where several stand beside each other they are merged; nobody's branch moves. */
async function commitOf(run: Run, { commits }: CommittedState): Promise<string> {
  if (!Array.isArray(commits) || commits.length > mostCommits || !commits.every(isCommitId))
    throw new Error(`commits must be at most ${mostCommits} full hashes.`);
  if (commits.length === 0) return (await run(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'])).trim();
  for (const commit of commits)
    await run(['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`]);
  const heads = (await run(['merge-base', '--independent', ...commits])).trim().split('\n');
  let [merged = ''] = heads;
  for (const head of heads.slice(1)) {
    const tree = (await run(['merge-tree', '--write-tree', '--no-messages', merged, head])).trim();
    merged = (await run(['commit-tree', tree, '-p', merged, '-p', head, '-m', 'Read together'])).trim();
  }
  return merged;
}

const isCommitId = (given: unknown): given is string =>
  typeof given === 'string' && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(given);

function mustBePath(path: unknown): void {
  const parts = typeof path === 'string' ? path.split('/') : [];
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (typeof path !== 'string' || path.length > 4_096 || path.includes('\0') || !isPlain)
    throw new Error('A path must be relative to the repository and hold no empty part, no . and no ..');
}

/** Plain files of `ls-tree -z -l`. */
const entriesIn = (listing: string): { id: string; path: string; bytes: number }[] =>
  listing.split('\0').flatMap((line) => {
    const [, mode = '', id = '', bytes = '', path = ''] = /^(\d{6}) blob ([0-9a-f]+) +(\d+)\t(.*)$/s.exec(line) ?? [];
    return plainModes.includes(mode) ? [{ id, path, bytes: Number(bytes) }] : [];
  });

/** `commit:path NUL line NUL text` of each match. The last may be cut. */
const matchesIn = (found: string, commit: string): { path: string; line: number; text: string }[] =>
  found.split('\n').flatMap((match) => {
    const [where = '', line = '', text] = match.split('\0');
    return text === undefined || !where.startsWith(`${commit}:`)
      ? []
      : [{ path: where.slice(commit.length + 1), line: Number(line), text: text.slice(0, matchCharacters) }];
  });

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
