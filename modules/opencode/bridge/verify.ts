import { relative } from 'node:path';
import type { Evidence, Lease } from '../../contract.ts';
import type { Asks } from './asks.ts';
import { patchOf, type WorkDone } from './commit.ts';
import type { Emit } from './events.ts';
import type { Git } from './git.ts';
import type { Runner } from './runner-client.ts';
import { makeVerifyPlace, type VerifyPlace } from './verify-place.ts';
import { partOf, type WorkTree } from './worktree.ts';

export interface VerifyParts {
  readonly lease: Lease;
  readonly git: Git;
  readonly runner: Runner;
  readonly asks: Asks;
  readonly emit: Emit;
  readonly workTree: WorkTree;
  readonly work: WorkDone;
  readonly path: string;
  readonly taskDir: string;
}

export interface Verified {
  readonly verify: Evidence['verify'];
  readonly isRejected: boolean;
}

const outputBytes = 8 * 1024;
const listedFiles = 200;

/**
 * Runs the command that checks the work, without a shell, on the commit and nothing else.
 *
 * Place    the folder of the task in a fresh checkout of the commit (of the base where nothing was committed), a new and empty HOME and
 *          TMPDIR, an environment of its own; all of it is removed afterwards. What is not committed is not there:
 *          no `node_modules`, no build output, no ignored file. The command installs what it needs, or uses tools
 *          of the image. What it writes is not kept.
 * Person   code that the agent wrote runs here, so in every profile but `trusted` a person sees command and change
 *          first; the change is read from the same commit.
 */
export async function verifyWork(parts: VerifyParts): Promise<Verified> {
  const { lease, emit } = parts;
  if (!lease.verify) return { verify: null, isRejected: false };
  if (lease.profile !== 'trusted' && !(await isAllowed(parts))) return { verify: null, isRejected: true };
  emit('verify.started', { argv: lease.verify.argv.map((word) => word.slice(0, 1_000)).slice(0, 100) });
  const verify = await run(parts, lease.verify);
  emit('verify.finished', { exit: verify.exit, timed_out: verify.timed_out });
  return { verify, isRejected: false };
}

async function isAllowed({ lease, asks, git, workTree, work }: VerifyParts): Promise<boolean> {
  const answer = await asks.ask({
    ask_id: `verify-${lease.task_id}`,
    kind: 'verify',
    title: `Verify: ${lease.verify?.argv.join(' ') ?? ''}`.slice(0, 500),
    detail: {
      argv: lease.verify?.argv,
      timeout_seconds: lease.verify?.timeout_seconds,
      diff: work.diff,
      changed_files: work.changedFiles.slice(0, listedFiles),
      commit: work.commit,
      ...(await patchOf(git, workTree, work)),
    },
  });
  return answer.decision === 'once';
}

async function run(
  parts: VerifyParts,
  command: NonNullable<Lease['verify']>,
): Promise<NonNullable<Evidence['verify']>> {
  const { git, workTree, work, taskDir, lease } = parts;
  let place: VerifyPlace | null = null;
  try {
    place = await makeVerifyPlace({ git, workTree: workTree.path, taskDir, commit: work.commit ?? workTree.base });
    const result = await parts.runner.exec({
      argv: command.argv,
      directory: partOf(place.tree, relative(workTree.path, workTree.folder)),
      environment: {
        LANG: 'C.UTF-8',
        CI: 'true',
        ...lease.environment,
        PATH: parts.path,
        HOME: place.home,
        TMPDIR: place.temporary,
      },
      timeout_ms: command.timeout_seconds * 1_000,
      max_bytes: outputBytes,
      tail: true,
    });
    return { exit: result.exit, timed_out: result.timed_out, output: result.stdout };
  } catch (error) {
    return { exit: null, timed_out: false, output: `The command could not be started: ${(error as Error).message}` };
  } finally {
    place?.remove();
  }
}
