import type { HarnessParts } from '../../modules/contract.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { makeTimeCache } from '../platform/time-cache.ts';
import type { CallBridge } from './call-bridge.ts';
import { readHarnessParts, readRegistration, saveHarnessParts, type Registration } from './harness-parts-store.ts';

/** What is known of the harness of a workspace. */
export interface PartsReport {
  readonly connected: boolean;
  /** True where the bridge of today has not said it within the last minute. */
  readonly isStale: boolean;
  /** Null where no bridge ever said anything. */
  readonly reportedAt: Date | null;
  readonly harnessVersion: string | null;
  readonly capabilities: readonly string[];
  readonly parts: HarnessParts;
}

export interface PartsReaderParts {
  readonly database: Database;
  readonly callBridge: CallBridge;
  readonly clock: Clock;
}

/** Row S-93. */
const keptMs = 60_000;
const mostKept = 2_000;

const nothing: HarnessParts = { plugins: [], skills: [], mcp_servers: [], lsp_servers: [] };

/**
 * Asks the bridge of a workspace what its harness loads, at most once a minute; without a bridge that answers, says
 * what was last known.
 *
 * Kept     per process, under the generation of the registration: a new one is a new key, so that no replica goes on
 *          with what it remembers, whether or not a notification reached it.
 */
export function makePartsReader({ database, callBridge, clock }: PartsReaderParts) {
  const kept = makeTimeCache<PartsReport>({ clock, ttlMs: keptMs, most: mostKept });

  async function ask(workspaceId: string, registration: Registration): Promise<PartsReport> {
    const parts = await callBridge(workspaceId, 'plugins', {});
    const reportedAt = clock.now();
    await saveHarnessParts(database, workspaceId, { parts, reportedAt });
    return { ...said(registration), isStale: false, reportedAt, parts };
  }

  async function lastKnown(workspaceId: string, registration: Registration | null): Promise<PartsReport> {
    const known = await readHarnessParts(database, workspaceId);
    return {
      ...said(registration),
      isStale: true,
      reportedAt: known?.reportedAt ?? null,
      parts: known?.parts ?? nothing,
    };
  }

  return async (workspaceId: string): Promise<PartsReport> => {
    const registration = await readRegistration(database, workspaceId);
    if (!registration?.connected) return lastKnown(workspaceId, registration);
    try {
      return await kept.get(`${workspaceId}/${registration.generation}`, () => ask(workspaceId, registration));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return lastKnown(workspaceId, registration);
    }
  };
}

const said = (registration: Registration | null) => ({
  connected: registration?.connected ?? false,
  harnessVersion: registration?.harnessVersion ?? null,
  capabilities: registration?.capabilities ?? [],
});
