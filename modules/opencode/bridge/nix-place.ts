import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Runner } from './runner-client.ts';
import type { Environment } from './runner-protocol.ts';

export interface NixPlaceParts {
  readonly runner: Pick<Runner, 'exec'>;
  readonly path: string;
  /** Where the image has its store; null where it has no Nix of its own. */
  readonly nixDir: string | null;
  /** Of the task: what it builds is gone with it, so that nothing one task writes is run by another. */
  readonly taskDir: string;
}

const common = [
  // One user owns the store and builds in it.
  'build-users-group =',
  'sandbox = false',
  'experimental-features = nix-command flakes',
  // Settings that a flake asks for are the repository's word, which nobody has read.
  'accept-flake-config = false',
];

/**
 * Where Nix builds for an attempt.
 *
 * The sidecar sees the worker's store read-only, so it needs one of its own:
 *
 * image      the image's store can be written, as in agent mode `process`
 * namespace  a store below the task that the programs see as /nix: packages of binary caches fit. It needs user
 *            namespaces, which kata has and the usual seccomp profile of containers refuses
 * prefix     a store with a prefix of its own, which works everywhere; no binary cache has packages for it
 *
 * Source: the Nix manual, "Local Store" (`root`, physical and logical store directories) and NIX_STORE_DIR
 */
export async function nixPlace(parts: NixPlaceParts): Promise<{ environment: Environment; notice: string | null }> {
  if (parts.nixDir !== null && isWritable(parts.nixDir)) return { environment: { NIX_CONFIG: lines() }, notice: null };
  const root = join(parts.taskDir, 'nix');
  mkdirSync(root, { recursive: true, mode: 0o700 });
  if (await hasNamespaces(parts)) return { environment: { NIX_CONFIG: lines(), NIX_REMOTE: root }, notice: null };
  return {
    environment: {
      NIX_CONFIG: lines('substituters ='),
      NIX_STORE_DIR: join(root, 'store'),
      NIX_STATE_DIR: join(root, 'var'),
      NIX_LOG_DIR: join(root, 'log'),
    },
    notice: 'This container has no user namespaces, so Nix builds everything here from source, without a binary cache.',
  };
}

const lines = (...more: readonly string[]): string => [...common, ...more].join('\n');

function isWritable(nixDir: string): boolean {
  try {
    accessSync(nixDir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Nix mounts what it builds into, for which it needs both. */
async function hasNamespaces({ runner, path, taskDir }: NixPlaceParts): Promise<boolean> {
  try {
    const { exit } = await runner.exec({
      argv: ['unshare', '--user', '--mount', '--map-root-user', 'true'],
      environment: { PATH: path },
      directory: taskDir,
      timeout_ms: 10_000,
      max_bytes: 1_024,
    });
    return exit === 0;
  } catch {
    return false;
  }
}
