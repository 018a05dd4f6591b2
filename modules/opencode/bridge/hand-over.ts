import type { Lease } from '../../contract.ts';
import type { Progress } from './attempt-evidence.ts';
import type { AttemptParts } from './attempt-parts.ts';
import type { Git } from './git.ts';
import { pushWork } from './push-work.ts';
import type { WorkTree } from './worktree.ts';

export interface HandOverParts extends Pick<AttemptParts, 'relay' | 'outbox' | 'settings'> {
  readonly lease: Lease;
  readonly progress: Progress;
  readonly git: Git;
  readonly workTree: WorkTree;
  readonly taskDir: string;
}

/**
 * Pushes the work to the branch of its task, where the service reaches the repository; else it stays where it is.
 *
 * What the verify command did not accept is not pushed. A push that fails is told and costs the task nothing.
 */
export async function handOver(parts: HandOverParts): Promise<void> {
  const { lease, progress, relay, outbox, workTree, settings } = parts;
  const { work, verified, access } = progress;
  const isGood = !verified.isRejected && (verified.verify === null || verified.verify.exit === 0);
  if (work.commit === null || !isGood || access.length === 0) return;
  const place = relay.open({ taskToken: lease.task_token, callLimit: 0, onLimit: () => undefined });
  try {
    const pushed = await pushWork({
      ...parts,
      access,
      commit: work.commit,
      relayUrl: place.gitUrl,
      reposJson: settings.inherited['REPOS_JSON'],
    });
    if (pushed === null) return;
    const notice =
      'problem' in pushed ? 'The work could not be pushed; it is on its local branch.' : 'The work was pushed.';
    outbox.event('bridge.notice', { notice, branch: workTree.branch, commit: work.commit, ...pushed });
  } finally {
    place.close();
  }
}
