import type { HarnessAsk, HarnessClient, HarnessEvent, HarnessMessage } from '../harness.ts';
import { partsOf } from './inventory.ts';
import { readServerSentEvents } from '../server-sent-events.ts';

export interface HarnessAddress {
  readonly port: number;
  readonly password: string;
  readonly directory: string;
}

/** The first call after a start makes OpenCode load everything. */
const callMs = 60_000;
const probeMs = 5_000;
/** A heartbeat comes every 10 s; three missed ones mean a dead stream. */
const silenceMs = 30_000;

/** One attempt's `opencode serve`, over HTTP on loopback. */
export function makeHarnessClient({ port, password, directory }: HarnessAddress): HarnessClient {
  const headers = {
    authorization: `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`,
    'content-type': 'application/json',
    'x-opencode-directory': encodeURIComponent(directory),
  };

  async function call(method: string, path: string, body?: unknown, timeoutMs = callMs): Promise<Response> {
    return fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** An unknown path answers 200 with a web page, so the status alone proves nothing. */
  async function json(method: string, path: string, body?: unknown, timeoutMs?: number): Promise<unknown> {
    const response = await call(method, path, body, timeoutMs);
    if (!response.ok || !response.headers.get('content-type')?.includes('json'))
      throw new Error(`The harness answered ${response.status} to ${method} ${path.split('?')[0]}.`);
    return response.json();
  }

  return {
    port,
    async health() {
      const answer = await json('GET', '/global/health', undefined, probeMs).catch(() => null);
      const { healthy, version } = (answer ?? {}) as { healthy?: boolean; version?: unknown };
      return healthy === true ? { version: typeof version === 'string' ? version : 'unknown' } : null;
    },
    createSession: async (title) => ((await json('POST', '/session', { title })) as { id: string }).id,
    async hasSession(sessionId) {
      const answer = await call('GET', `/session/${encodeURIComponent(sessionId)}`);
      return answer.ok && answer.headers.get('content-type')?.includes('json') === true;
    },
    rootSessions: async () => ((await json('GET', '/session?roots=true')) as { id: string }[]).map(({ id }) => id),
    async prompt(sessionId, { messageId, partId, text }) {
      const body = { messageID: messageId, parts: [{ id: partId, type: 'text', text }] };
      const answer = await call('POST', `/session/${sessionId}/prompt_async`, body);
      if (answer.status !== 204) throw new Error(`The harness answered ${answer.status} to the prompt.`);
    },
    messages: async (sessionId) => (await json('GET', `/session/${sessionId}/message`)) as HarnessMessage[],
    busySessions: async () => Object.keys((await json('GET', '/session/status')) as object),
    abort: async (sessionId) => void (await call('POST', `/session/${sessionId}/abort`, {}, 2_000)),
    asks: async () => (await json('GET', '/permission')) as HarnessAsk[],
    async reply(askId, reply, message) {
      const body = { reply, ...(message === undefined ? {} : { message }) };
      const answer = await call('POST', `/permission/${encodeURIComponent(askId)}/reply`, body);
      if (answer.status === 404) return false;
      if (!answer.ok) throw new Error(`The harness answered ${answer.status} to a decision.`);
      return true;
    },
    rejectQuestion: async (id) => void (await call('POST', `/question/${encodeURIComponent(id)}/reject`, {})),
    inventory: async (folders) => partsOf(await json('GET', '/config'), await json('GET', '/skill'), folders),
    async *events(signal) {
      const answer = await fetch(`http://127.0.0.1:${port}/event`, { headers, signal });
      if (!answer.ok || !answer.body) throw new Error(`The harness answered ${answer.status} to /event.`);
      for await (const data of readServerSentEvents(answer.body, silenceMs)) yield JSON.parse(data) as HarnessEvent;
    },
  };
}
