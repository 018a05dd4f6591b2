import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { globalConfigText, makeGit, type Git, type GitParts } from './git.ts';
import { textOf, type Log } from './log.ts';
import { runCommand } from './runner-exec.ts';
import { removeQuietly } from './verify-place.ts';

export interface OwnGitParts {
  readonly agentDir: string;
  readonly path: string;
  /** Pids that no sweep of the bridge may end, nor take the exit status of. */
  readonly spared: Set<number>;
  readonly log: Log;
}

const prefix = 'git-';

/**
 * The bridge's own git, which works beside any attempt.
 *
 * Errors   none here: the agent can write to this volume and fill it, and no file there may stop the bridge from
 *          starting. Where no place can be made, every use rejects.
 */
export function makeOwnGit({ agentDir, path, spared, log }: OwnGitParts): Git {
  try {
    return makeFreshGit({ directory: agentDir, path, exec: (command) => runCommand(command, spared) });
  } catch (error) {
    const why = textOf(error);
    log('error', 'the bridge has no place for its own git: no facts of the repository, no checkpoints', { error: why });
    return () => Promise.reject(new Error(why));
  }
}

/**
 * Git with a HOME and a configuration that nobody has written to; it replaces the one that was made here before.
 *
 * Safety   the agent can write below `directory`: whatever ran meanwhile could have led an older one elsewhere, so a new
 *          one is made each time that code of the agent's has ended.
 */
export function makeFreshGit({
  directory,
  path,
  exec,
}: Pick<GitParts, 'path' | 'exec'> & { readonly directory: string }): Git {
  for (const name of readdirSync(directory)) if (name.startsWith(prefix)) removeQuietly(join(directory, name));
  const place = mkdtempSync(join(directory, prefix));
  const home = join(place, 'home');
  mkdirSync(home, { mode: 0o700 });
  const globalConfig = join(place, 'config');
  writeFileSync(globalConfig, globalConfigText, { flag: 'wx' });
  return makeGit({ exec, path, home, globalConfig });
}
