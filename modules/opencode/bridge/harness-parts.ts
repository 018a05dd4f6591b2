import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { HarnessParts } from '../../contract.ts';
import type { Harness, HarnessClient } from './harness.ts';
import type { BridgeSettings } from './settings.ts';
import { removeQuietly } from './verify-place.ts';
import { findRepository } from './worktree.ts';

export interface HarnessPartsParts {
  readonly settings: Pick<
    BridgeSettings,
    'agentDir' | 'toolsDir' | 'inherited' | 'workspaceDir' | 'gitRoot' | 'repositoryDir'
  >;
  readonly harness: Pick<Harness, 'inventory'>;
  /** OpenCode's binary. */
  readonly execPath: string;
  readonly now: () => Date;
  /** Pids that no sweep of the bridge may end. */
  readonly runners: Set<number>;
  /** An attempt whose harness can be asked. */
  readonly running: () => Pick<HarnessClient, 'inventory'> | null;
}

/**
 * Answers what the harness loads in this workspace: of a running attempt, else what one would load that is started now.
 * Callers at the same time share one look.
 *
 * Errors   rejects with a sentence for the person.
 */
export function makeHarnessParts(parts: HarnessPartsParts): () => Promise<HarnessParts> {
  let underWay: Promise<HarnessParts> | null = null;
  return () => (underWay ??= look(parts).finally(() => (underWay = null)));
}

async function look(parts: HarnessPartsParts): Promise<HarnessParts> {
  const { settings, harness, execPath, now, runners } = parts;
  const repository = repositoryOf(parts);
  const folders = [settings.workspaceDir, ...(repository === null ? [] : [repository])];
  const running = parts.running();
  if (running) return running.inventory(folders);
  const place = mkdtempSync(join(settings.agentDir, 'parts-'));
  try {
    const directory = repository ?? join(place, 'empty');
    if (repository === null) mkdirSync(directory);
    return await harness.inventory({
      ...{ place, directory, folders, program: execPath, now: now(), spared: runners },
      inherited: settings.inherited,
      path: `${settings.toolsDir}:${settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}`,
    });
  } finally {
    removeQuietly(place);
  }
}

function repositoryOf({ settings }: HarnessPartsParts): string | null {
  try {
    return findRepository(settings.gitRoot, settings.repositoryDir);
  } catch {
    return null;
  }
}
