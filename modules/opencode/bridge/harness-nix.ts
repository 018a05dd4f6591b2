import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nixEnvironmentFile } from '../../contract.ts';
import type { Environment } from './runner-protocol.ts';

/** What a workspace.nix adds to the environment of the agent's tools. */
export interface NixEnvironment {
  /** Folders that go between our tools and the image's. */
  readonly path: readonly string[];
  readonly variables: Environment;
}

export interface NixWait {
  /** Where Nix's store is mounted; null where the image has no Nix. */
  readonly nixDir: string | null;
  readonly signal: AbortSignal;
  /** Called once where it is not computed yet. */
  readonly onWait: () => void;
  readonly limitMs?: number;
  readonly everyMs?: number;
}

const nothing: NixEnvironment = { path: [], variables: {} };
/** The worker waits this long for a clone; fetching packages comes on top. */
const waitMs = 1_800_000;
const pollMs = 500;
const maxBytes = 1024 * 1024;

/**
 * What the worker computed for this start of the workspace; nothing where there is no workspace.nix that can be used.
 *
 * A task may be there before that is done, and would find none of its tools: so this waits, at most half an hour.
 *
 * Safety   read from Nix's store, which the sidecar mounts read-only: what one attempt writes reaches no later one.
 */
export async function nixEnvironment(wait: NixWait): Promise<NixEnvironment> {
  const { nixDir, signal, onWait, limitMs = waitMs, everyMs = pollMs } = wait;
  if (nixDir === null) return nothing;
  const file = join(nixDir, nixEnvironmentFile);
  const deadline = performance.now() + limitMs;
  for (let isFirst = true; ; isFirst = false) {
    const text = textOf(file);
    if (text !== null) return parsed(text);
    if (signal.aborted || performance.now() >= deadline) return nothing;
    if (isFirst) onWait();
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Null while it is not there; empty for what is no file of ours. */
function textOf(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : '';
  }
  try {
    const found = fstatSync(descriptor);
    return found.isFile() && found.size <= maxBytes ? readFileSync(descriptor, 'utf8') : '';
  } finally {
    closeSync(descriptor);
  }
}

function parsed(text: string): NixEnvironment {
  try {
    const { path, variables } = JSON.parse(text) as { path?: unknown; variables?: unknown };
    const folders = (Array.isArray(path) ? path : []) as readonly unknown[];
    return {
      path: folders.filter((one): one is string => typeof one === 'string' && /^\/[^:\0]+$/.test(one)),
      variables: Object.fromEntries(
        Object.entries(variables ?? {}).filter(
          (entry): entry is [string, string] =>
            /^[A-Za-z_]\w*$/.test(entry[0]) && typeof entry[1] === 'string' && !entry[1].includes('\0'),
        ),
      ),
    };
  } catch {
    return nothing;
  }
}
