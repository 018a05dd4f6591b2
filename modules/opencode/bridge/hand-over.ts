import { timing, type Lease } from '../../contract.ts';
import type { Progress } from './attempt-evidence.ts';
import type { AttemptParts } from './attempt-parts.ts';
import { textOf } from './log.ts';
import { makeFreshGit } from './own-git.ts';
import { pushMs, pushWork, type Pushed } from './push-work.ts';
import type { Runner } from './runner-client.ts';
import type { WorkTree } from './worktree.ts';

export interface HandOverParts extends Pick<AttemptParts, 'relay' | 'outbox' | 'settings'> {
  readonly lease: Lease;
  readonly progress: Progress;
  readonly runner: Runner;
  /** Where git is found. */
  readonly path: string;
  readonly workTree: WorkTree;
  /** Address of `origin` from before the agent could change it. */
  readonly origin: string;
  readonly taskDir: string;
  /** What is left of the time of the task. */
  readonly msLeft: number;
}

/** What the report of the attempt still needs of that time. */
const reportMs = 15_000;
const tooLate: Pushed = { problem: 'there was no time left' };

/**
 * Pushes the work to the branch of its task, where the service reaches the repository; else it stays where it is.
 *
 * What the verify command did not accept is not pushed. A push that fails, or for which no time is left, is told and
 * costs the task nothing: its work is done.
 */
export async function handOver(parts: HandOverParts): Promise<void> {
  const { progress, outbox, workTree } = parts;
  const { work, verified, access } = progress;
  const isGood = !verified.isRejected && (verified.verify === null || verified.verify.exit === 0);
  if (work.commit === null || !isGood || access.length === 0) return;
  const limitMs = Math.min(pushMs, parts.msLeft - reportMs);
  const pushed = await (limitMs > 0 ? inTime(push(parts, work.commit), limitMs) : Promise.resolve(tooLate)).catch(
    (error: unknown): Pushed => ({ problem: textOf(error).slice(0, 500) }),
  );
  if (pushed === null) return;
  const notice =
    'problem' in pushed ? 'The work could not be pushed; it is on its local branch.' : 'The work was pushed.';
  outbox.event('bridge.notice', { notice, branch: workTree.branch, commit: work.commit, ...pushed });
}

async function push(parts: HandOverParts, commit: string): Promise<Pushed> {
  const { lease, progress, relay, settings, runner, path, taskDir } = parts;
  // The verify command ran code of the agent's: nothing of it may watch the push, or have prepared it.
  await runner.sweep(timing.stopTermMs);
  const git = makeFreshGit({ directory: taskDir, path, exec: runner.exec });
  const place = relay.open({ taskToken: lease.task_token, callLimit: 0, onLimit: () => undefined });
  try {
    return await pushWork({
      ...parts,
      git,
      access: progress.access,
      commit,
      relayUrl: place.gitUrl,
      reposJson: settings.inherited['REPOS_JSON'],
    });
  } finally {
    place.close();
  }
}

/** What is still under way then ends with the attempt. */
function inTime(pushing: Promise<Pushed>, limitMs: number): Promise<Pushed> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Pushed>((resolve) => {
    timer = setTimeout(() => resolve(tooLate), limitMs);
  });
  return Promise.race([pushing, late]).finally(() => clearTimeout(timer));
}
