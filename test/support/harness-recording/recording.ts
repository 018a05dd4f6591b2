import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Evidence, Lease } from '../../../modules/contract.ts';
import type { Ending } from '../../../modules/opencode/bridge/ending.ts';
import type { HarnessEvent, HarnessMessage } from '../../../modules/opencode/bridge/harness.ts';

/** One attempt as the harness told it, and as the bridge reported it. Ids, times and places are replaced. */
export interface Recording {
  /** False: written by hand; `source` says from what. */
  readonly recorded: boolean;
  readonly source: string;
  readonly title: string;
  readonly lease: Lease;
  /** Answers to the harness's questions for permission, in their order. */
  readonly decisions: readonly ('once' | 'reject')[];
  /** Who ended the attempt before the harness did. */
  readonly ended_by: Ending | null;
  /** `GET /event`, as it came, less the types that nobody reads. */
  readonly events: readonly HarnessEvent[];
  /** `GET /session/:id/message`, as it was read last. */
  readonly messages: readonly HarnessMessage[];
  /** What the bridge reported then. */
  readonly evidence: Evidence;
  /** What the harness's own command line exits with for the same prompt; null: not tried. */
  readonly exit: { readonly command: string; readonly code: number } | null;
}

export const recordingsFolder = join(import.meta.dirname, '..', '..', 'fixtures', 'opencode', 'streams');

/** Every recording by its name. */
export const readRecordings = (): ReadonlyMap<string, Recording> =>
  new Map(
    readdirSync(recordingsFolder)
      .filter((file) => file.endsWith('.json'))
      .sort()
      .map((file) => [
        file.slice(0, -'.json'.length),
        JSON.parse(readFileSync(join(recordingsFolder, file), 'utf8')) as Recording,
      ]),
  );
