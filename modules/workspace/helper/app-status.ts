import { names } from '../../contract.ts';
import { maxTextBytes, type AgentStatus } from './run-files.ts';
import { cleanText } from './clean-text.ts';

export interface AppStatusOptions {
  /** Address of Coder. */
  readonly url: string;
  readonly token: string;
  readonly nowMs: () => number;
  readonly log: (line: string) => void;
}

export interface AppStatusPublisher {
  /** Tells Coder, when it is news and not too soon; null is nothing to tell. Never throws. */
  publish(status: AgentStatus | null): Promise<void>;
}

type CoderState = 'working' | 'idle';

const shortestGapMs = 5_000;
const longestGapMs = 300_000;
const timeoutMs = 10_000;

/**
 * Shows in Coder's page what the agent does, as status of the app `opencode`.
 *
 * Errors   none: where Coder refuses or cannot be reached, the pauses grow to five minutes and one line is logged.
 * Source   PATCH /api/v2/workspaceagents/me/app-status, Coder 2.36; removed routes answer 404.
 */
export function makeAppStatus({ url, token, nowMs, log }: AppStatusOptions): AppStatusPublisher {
  let told = '';
  let [triedMs, failures] = [-Infinity, 0];

  return {
    async publish(status) {
      if (status === null) return;
      const body = JSON.stringify(bodyFor(status));
      const gapMs = Math.min(shortestGapMs * 2 ** failures, longestGapMs);
      if (body === told || nowMs() - triedMs < gapMs) return;
      triedMs = nowMs();
      const problem = await send(url, token, body);
      if (problem === null) {
        [told, failures] = [body, 0];
        return;
      }
      if (failures === 0) log(`Coder does not show what the agent does: ${problem}. It is tried again now and then.`);
      failures = Math.min(failures + 1, 10);
    },
  };
}

function bodyFor({ state, doing }: AgentStatus): Readonly<Record<string, string>> {
  const coderState: CoderState = state === 'idle' ? 'idle' : 'working';
  return {
    app_slug: names.apps.opencode,
    state: coderState,
    message: cleanText(doing, maxTextBytes),
    uri: '',
  };
}

/** Null when Coder took it; otherwise why not, without anything that Coder said. */
async function send(url: string, token: string, body: string): Promise<string | null> {
  try {
    const response = await fetch(new URL('/api/v2/workspaceagents/me/app-status', url), {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/json', 'Coder-Session-Token': token },
      body,
      // The token must not follow a redirect to another host.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    return response.ok ? null : `it answered ${String(response.status)}`;
  } catch {
    return 'it cannot be reached';
  }
}
