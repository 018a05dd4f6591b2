import type { Harness } from '../harness.ts';
import { inventory } from './inventory.ts';
import { askingTools } from './permissions.ts';
import { startHarness } from './start.ts';
import { detectVersion, pinnedVersion } from './version.ts';

/** OpenCode 1.x: one `opencode serve` per attempt, driven over its HTTP routes without a prefix. */
export const openCode: Harness = {
  name: 'OpenCode',
  version: pinnedVersion,
  detect: detectVersion,
  start: startHarness,
  asking: askingTools,
  inventory,
};
