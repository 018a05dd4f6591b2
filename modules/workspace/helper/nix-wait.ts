import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nixEnvironmentFile } from '../../contract.ts';

/** As long as the bridge waits: for a clone, and for packages that are fetched. */
const limitMs = 1_800_000;

/**
 * Answers what the IDE waits for, in words for people; null once the tools of workspace.nix are there, will not come,
 * or where the image has no Nix.
 *
 * An IDE keeps the environment it was started with, so one that came before the tools would never find them.
 */
export function nixWait(nixDir: string | null, nowMs: () => number): () => string | null {
  if (nixDir === null) return () => null;
  const file = join(nixDir, nixEnvironmentFile);
  const endMs = nowMs() + limitMs;
  return () =>
    existsSync(file) || nowMs() >= endMs ? null : 'It waits for the tools of workspace.nix. Terminals work already.';
}
