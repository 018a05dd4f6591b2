import type { GitFacts } from '../../contract.ts';
import type { Git } from './git.ts';
import { textOf, type Log } from './log.ts';
import { findRepository } from './worktree.ts';

/** Keeps what is known of the person's repository fresh, in the background. */
export interface GitFactsKeeper {
  /** Looks soon, also where the last look is not long ago. */
  refresh(): void;
  end(): void;
}

export interface GitFactsParts {
  readonly git: Git;
  readonly gitRoot: string;
  readonly repositoryDir: string | null;
  readonly tell: (facts: GitFacts | null) => void;
  readonly log: Log;
  readonly everyMs?: number;
}

const everyMsDefault = 10_000;
const lookMs = 20_000;
/** A repository that takes long is looked at less often, so that looking costs at most a tenth of one core. */
const idleFactor = 9;
/** The head of the output is all that matters: the branch's lines, and whether anything follows. */
const outputBytes = 64 * 1024;
const maxBranch = 200;

/** One look at a time, the next `everyMs` after the last has ended; a failed one leaves what was known. */
export function keepGitFacts(parts: GitFactsParts): GitFactsKeeper {
  const everyMs = parts.everyMs ?? everyMsDefault;
  let timer: NodeJS.Timeout | undefined;
  let isLooking = false;
  let isWanted = false;
  let isOver = false;
  let isBroken = false;

  async function look(): Promise<void> {
    clearTimeout(timer);
    if (isOver) return;
    if (isLooking) return void (isWanted = true);
    isLooking = true;
    isWanted = false;
    const beganAt = performance.now();
    try {
      const facts = await readGitFacts(parts);
      if (!isOver) parts.tell(facts);
      isBroken = false;
    } catch (error) {
      if (!isBroken) parts.log('warn', 'the repository could not be looked at', { error: textOf(error) });
      isBroken = true;
    }
    isLooking = false;
    const pauseMs = isWanted ? 0 : Math.max(everyMs, idleFactor * (performance.now() - beganAt));
    timer = setTimeout(() => void look(), pauseMs);
    timer.unref();
  }

  void look();
  return {
    refresh: () => void look(),
    end: () => {
      isOver = true;
      clearTimeout(timer);
    },
  };
}

/** Looks once, without writing anything to the repository; null where there is none. Throws when git cannot answer. */
export async function readGitFacts(
  parts: Pick<GitFactsParts, 'git' | 'gitRoot' | 'repositoryDir'>,
): Promise<GitFacts | null> {
  let directory: string;
  try {
    directory = findRepository(parts.gitRoot, parts.repositoryDir);
  } catch {
    return null;
  }
  const status = ['--no-optional-locks', 'status', '--porcelain=v2', '--branch', '-z', '--no-renames'];
  const answer = await parts.git([...status, '--untracked-files=normal', '--ignore-submodules=all'], {
    directory,
    maxBytes: outputBytes,
    timeoutMs: lookMs,
  });
  if (answer.exit !== 0) throw new Error(answer.timed_out ? 'git took too long' : answer.stderr.trim().slice(0, 300));
  return parseStatus(answer.stdout);
}

/** Source: git-status(1), "Porcelain Format Version 2", with `-z`. */
export function parseStatus(text: string): GitFacts {
  const lines = text.split('\0').filter((line) => line !== '');
  const header = (name: string): string | undefined =>
    lines.find((line) => line.startsWith(`# branch.${name} `))?.slice(`# branch.${name} `.length);
  const branch = header('head');
  const [, ahead = '0', behind = '0'] = /^\+(\d{1,9}) -(\d{1,9})$/.exec(header('ab') ?? '') ?? [];
  return {
    branch: branch === undefined || branch === '(detached)' ? null : printable(branch),
    ahead: Number(ahead),
    behind: Number(behind),
    dirty: lines.some((line) => !line.startsWith('# ')),
  };
}

/** The agent can name a branch, and a terminal will show the name. */
const printable = (name: string): string =>
  name
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '\u{FFFD}')
    .slice(0, maxBranch)
    .replace(/\p{Surrogate}$/u, '');
