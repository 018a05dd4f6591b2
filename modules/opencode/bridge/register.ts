import { commandCapability, protocolVersion, type RegisterRequest, type RegisterResponse } from '../../contract.ts';
import { textOf, type Log } from './log.ts';
import type { BridgeSettings } from './settings.ts';

/** Holds the bridge token: gets one with the proof, keeps the one that a heartbeat renewed. */
export interface Registrar {
  /** A token to connect with; registers as often as it takes. Null when the bridge is ending. */
  token(): Promise<string | null>;
  renew(token: { readonly bridge_token: string; readonly expires_at: string }): void;
  forget(): void;
  readonly heartbeatMs: number;
  end(): void;
}

export interface RegistrarParts {
  readonly settings: BridgeSettings;
  readonly harnessVersion: string;
  readonly log: Log;
  readonly now: () => Date;
  readonly keepSecret: (secret: string) => void;
}

const registerMs = 20_000;
const firstPauseMs = 500;
const longestPauseMs = 5_000;
/** What only people can change is not asked often. */
const slowPauseMs = 30_000;
/** A token about to end is not worth connecting with. */
const marginMs = 15_000;

export const capabilities = [
  'lease',
  'ask',
  'verify',
  'worktree',
  'stop',
  'ide',
  'checkpoint',
  'files',
  'plugins',
  commandCapability,
] as const;

export function makeRegistrar(parts: RegistrarParts): Registrar {
  const { settings, log, now } = parts;
  let held: { token: string; expiresAt: number } | null = null;
  let heartbeatMs = 10_000;
  let isEnded = false;
  let failures = 0;
  let wake = (): void => undefined;

  function hold(token: { bridge_token: string; expires_at: string }): void {
    parts.keepSecret(token.bridge_token);
    held = { token: token.bridge_token, expiresAt: Date.parse(token.expires_at) };
  }

  async function pause(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function registerOnce(): Promise<'done' | 'soon' | 'slowly'> {
    const body: RegisterRequest = {
      workspace_id: settings.workspaceId,
      agent_id: settings.workspaceAgentId,
      version: parts.harnessVersion,
      protocol_version: protocolVersion,
      capabilities,
    };
    let answer: Response;
    try {
      answer = await fetch(`${settings.url}/api/v2/agents/opencode/register`, {
        method: 'POST',
        headers: { authorization: `Bearer ${settings.proof}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(registerMs),
        redirect: 'error',
      });
    } catch (error) {
      log('warn', 'the service cannot be reached', { error: textOf(error) });
      return 'soon';
    }
    if (answer.ok) {
      const given = (await answer.json()) as RegisterResponse;
      hold(given);
      heartbeatMs = given.heartbeat_interval_seconds * 1_000;
      log('info', 'registered', { lease_seconds: given.lease_seconds, protocol_version: given.protocol_version });
      return 'done';
    }
    return explain(answer.status, await detailOf(answer));
  }

  function explain(status: number, detail: string): 'soon' | 'slowly' {
    if (status === 401 || status === 403) {
      log('error', 'the service refused the registration proof; rebuild the workspace or push its template again', {
        status,
        detail,
      });
      return 'slowly';
    }
    if (status === 426) {
      log(
        'error',
        'the service does not speak this bridge’s protocol; upgrade the opencode image of the template, or the service',
        {
          status,
          detail,
          protocol_version: protocolVersion,
        },
      );
      return 'slowly';
    }
    log('warn', 'the service did not register this bridge', { status, detail });
    return status >= 400 && status < 500 && status !== 408 && status !== 429 ? 'slowly' : 'soon';
  }

  return {
    async token() {
      while (!isEnded) {
        if (held && held.expiresAt - now().getTime() > marginMs) return held.token;
        const outcome = await registerOnce();
        if (outcome === 'done') {
          failures = 0;
          return held?.token ?? null;
        }
        failures += 1;
        const longestMs =
          outcome === 'slowly' ? slowPauseMs : Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 8));
        await pause(longestMs * (0.5 + Math.random() / 2));
      }
      return null;
    },
    renew: hold,
    forget: () => (held = null),
    get heartbeatMs() {
      return heartbeatMs;
    },
    end: () => {
      isEnded = true;
      wake();
    },
  };
}

/** The problem document's own sentence; anything else is not repeated. */
async function detailOf(answer: Response): Promise<string> {
  const body = (await answer.json().catch(() => null)) as { detail?: unknown } | null;
  return typeof body?.detail === 'string' ? body.detail.slice(0, 500) : '';
}
