import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accessTo, isPushedByHand, type GitAccess } from './git-access.ts';
import type { Git } from './git.ts';
import { removeQuietly } from './verify-place.ts';
import type { WorkTree } from './worktree.ts';

/** The address that a work tree was cloned from; empty where there is none. */
export const originOf = async (git: Git, { path }: Pick<WorkTree, 'path'>): Promise<string> =>
  (await git(['config', '--get', 'remote.origin.url'], { directory: path })).stdout.trim();

export interface PushParts {
  readonly git: Git;
  readonly workTree: WorkTree;
  readonly commit: string;
  readonly access: readonly GitAccess[];
  /** Address of `origin` from before the agent could change it. */
  readonly origin: string;
  /** Where the relay passes git on; open only while this runs. */
  readonly relayUrl: string;
  readonly taskDir: string;
  /** As the workspace has it, if at all. */
  readonly reposJson: string | undefined;
}

/** Where the work went; null where nobody may push it but the person, so that it stays on its local branch. */
export type Pushed = { readonly repository: string } | { readonly problem: string } | null;

export const pushMs = 300_000;

/**
 * Pushes the commit to the branch of its task, at the repository that it was cloned from.
 *
 * Place    a new bare repository that borrows the objects: no setting of the agent's is read, which could send the work
 *          elsewhere or name a program.
 */
export async function pushWork(parts: PushParts): Promise<Pushed> {
  const { git, workTree, commit, taskDir, origin } = parts;
  const target = accessTo(origin, parts.access);
  if (!target?.mayPush || isPushedByHand(origin, parts.reposJson)) return null;
  const found = await git(['rev-parse', '--path-format=absolute', '--git-common-dir'], { directory: workTree.path });
  const place = mkdtempSync(join(taskDir, 'push-'));
  try {
    borrowObjects(place, found.stdout.trim());
    const address = `${parts.relayUrl}/${target.repository}.git`;
    const pushed = await git(['push', '--quiet', '--no-verify', address, `${commit}:refs/heads/${workTree.branch}`], {
      directory: place,
      timeoutMs: pushMs,
      mayUseHttp: true,
    });
    if (pushed.exit === 0) return { repository: target.repository };
    const why = pushed.timed_out ? 'it took too long' : pushed.stderr.replaceAll(parts.relayUrl, '').trim();
    return { problem: why.slice(-500) };
  } finally {
    removeQuietly(place);
  }
}

/** A bare repository of the least that git takes for one; a shallow clone stays shallow. */
function borrowObjects(place: string, from: string): void {
  for (const directory of ['objects/info', 'refs']) mkdirSync(join(place, directory), { recursive: true });
  writeFileSync(join(place, 'HEAD'), 'ref: refs/heads/main\n');
  writeFileSync(join(place, 'config'), '[core]\n\trepositoryformatversion = 0\n\tbare = true\n');
  writeFileSync(join(place, 'objects', 'info', 'alternates'), `${join(from, 'objects')}\n`);
  const shallow = readIfThere(join(from, 'shallow')).match(/^[0-9a-f]{40}$/gm) ?? [];
  if (shallow.length > 0) writeFileSync(join(place, 'shallow'), `${shallow.join('\n')}\n`);
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
