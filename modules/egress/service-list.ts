import type { EgressBlocked, EgressSyncRequest, EgressSyncResponse } from '../contract.ts';
import { parseEntry, type Entry } from './allow-list.ts';
import type { Refusal } from './refusal.ts';
import type { EgressSettings } from './settings.ts';

export interface ServiceList {
  entries(): readonly Entry[];
  /** Keeps it for the next call; the service shows it to people. */
  note(refusal: Refusal): void;
  /** Tells and asks once; resolves with the milliseconds to wait. Never rejects. */
  sync(): Promise<number>;
}

/** Different hosts kept between two calls; what comes on top is counted nowhere. */
const mostNoted = 100;
const mostEntries = 1_000;
const retryMs = 10_000;
const callMs = 10_000;

/** The organization's and the workspace's own list, asked of the service. Without an answer the last one holds. */
export function makeServiceList({ service, mode }: EgressSettings, log: (message: string) => void): ServiceList {
  let held: readonly Entry[] = [];
  let noted = new Map<string, EgressBlocked>();
  let version = -1;

  async function ask(blocked: readonly EgressBlocked[]): Promise<EgressSyncResponse> {
    const body: EgressSyncRequest = { workspace_id: service.workspaceId, agent_id: service.agentId, blocked };
    const answer = await fetch(`${service.url}/api/v2/agents/egress/sync`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${service.proof}` },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(callMs),
    });
    if (!answer.ok) throw new Error(`the service answered ${String(answer.status)}`);
    return (await answer.json()) as EgressSyncResponse;
  }

  return {
    entries: () => held,
    note({ host, port, why }) {
      const key = `${host}:${String(port)}:${why}`;
      const { count } = noted.get(key) ?? { count: 0 };
      if (count > 0 || noted.size < mostNoted) noted.set(key, { host, port, reason: why, count: count + 1 });
    },
    async sync() {
      const blocked = noted;
      noted = new Map();
      try {
        const answer = await ask([...blocked.values()]);
        const entries = answer.hosts.slice(0, mostEntries).map(parseEntry);
        // Whatever the service says, this mode adds nothing.
        held = mode === 'local-only' ? [] : entries.filter((one) => one !== null);
        if (answer.version !== version)
          log(`list ${String(answer.version)} of the service: ${String(held.length)} entries`);
        version = answer.version;
        return Math.min(Math.max(answer.next_seconds, 1), 300) * 1_000;
      } catch (error) {
        log(`the service could not be asked for its list: ${error instanceof Error ? error.message : String(error)}`);
        for (const [key, one] of blocked) if (noted.size < mostNoted && !noted.has(key)) noted.set(key, one);
        return retryMs;
      }
    },
  };
}
