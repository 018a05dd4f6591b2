import { isIP } from 'node:net';
import { Agent, fetch as undiciFetch } from 'undici';
import { baseUrlOf, dialectOf, type Dialect } from './dialects.ts';
import { endedTurn, upstreamUnreachable, type ModelFault } from './faults.ts';
import { isOwnAddress, outside, ownNetworksOnly, type Resolve } from '../platform/own-networks.ts';

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** As much of `fetch` as the gateway uses. */
export type UpstreamFetch = (
  url: string,
  init: {
    readonly method: 'POST' | 'GET';
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal: AbortSignal;
    /** A redirect is never followed: it would carry the key to another host. */
    readonly redirect: 'manual';
  },
) => Promise<UpstreamAnswer>;

/** The upstream as one key opens it. */
export interface KeyedUpstream {
  /** Rejects with a `ModelFault`. */
  send(body: string, isStream: boolean, signal: AbortSignal): Promise<UpstreamAnswer>;
  /** What the upstream knows of a finished call, as JSON text; null when it does not (yet), or cannot be asked. */
  recall(generationId: string): Promise<string | null>;
  /** Removes the provider's key from a text. */
  scrub(text: string): string;
}

export interface Upstream {
  readonly dialect: Dialect;
  /** Null means the service's own key. */
  with(apiKey: string | null): KeyedUpstream;
  close(): Promise<void>;
}

export interface UpstreamOptions {
  readonly url: string;
  readonly apiKey: string | null;
  /** Refuses to dial anything outside one's own networks. */
  readonly isLocalOnly?: boolean;
  readonly resolve?: Resolve;
  readonly fetch?: UpstreamFetch;
}

const recallMs = 10_000;
const recalledBytesAtMost = 64 * 1024;

export function makeUpstream(options: UpstreamOptions): Upstream {
  const { isLocalOnly = false } = options;
  const connect = { timeout: 10_000, ...(isLocalOnly ? { lookup: ownNetworksOnly(options.resolve) } : {}) };
  // Silence is measured by the call itself, over the head and the body alike.
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect });
  const dial: UpstreamFetch = options.fetch ?? ((url, init) => undiciFetch(url, { ...init, dispatcher: agent }));
  const base = baseUrlOf(options.url);
  const mustBeNear = (): void => {
    // An address is dialled as it stands; only names pass the resolver.
    const host = new URL(base).hostname.replace(/^\[|\]$/g, '');
    if (isLocalOnly && isIP(host) !== 0 && !isOwnAddress(host)) throw upstreamUnreachable(outside(host));
  };
  const keyed = (apiKey: string | null): KeyedUpstream => {
    const authorization: Record<string, string> = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    return {
      async send(body, isStream, signal) {
        mustBeNear();
        const headers = {
          'content-type': 'application/json',
          accept: isStream ? 'text/event-stream' : 'application/json',
          ...authorization,
        };
        try {
          return await dial(`${base}/chat/completions`, { method: 'POST', headers, body, signal, redirect: 'manual' });
        } catch (error) {
          throw signal.aborted ? error : upstreamUnreachable(error);
        }
      },
      async recall(generationId) {
        mustBeNear();
        const headers = { accept: 'application/json', ...authorization };
        const signal = AbortSignal.timeout(recallMs);
        const url = `${base}/generation?id=${encodeURIComponent(generationId)}`;
        const answer = await dial(url, { method: 'GET', headers, signal, redirect: 'manual' }).catch(() => null);
        if (answer === null) return null;
        const text = await textOf(answer).catch(() => null);
        return answer.status === 200 ? text : null;
      },
      scrub: (text) => (apiKey === null || apiKey === '' ? text : text.replaceAll(apiKey, '[redacted]')),
    };
  };
  return {
    dialect: dialectOf(options.url),
    with: (apiKey) => keyed(apiKey ?? options.apiKey),
    close: () => agent.destroy(),
  };
}

async function textOf(answer: UpstreamAnswer): Promise<string | null> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of answer.body ?? []) {
    size += piece.length;
    if (size > recalledBytesAtMost) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** Why a call was ended from our side. */
export type EndReason = 'client_gone' | 'stopped' | 'silent' | 'too_long';

/** Ends one call: by silence, by its whole length, or by whoever calls `end`. The first reason stays. */
export interface Fuse {
  readonly signal: AbortSignal;
  reason(): EndReason | null;
  end(reason: EndReason): void;
  /** A sign of life from upstream. */
  touch(): void;
  /** While the reader below is slow, silence above is not upstream's. */
  pause(): void;
  clear(): void;
}

export function lightFuse(silenceMs: number, totalMs: number): Fuse {
  const controller = new AbortController();
  let reason: EndReason | null = null;
  let silence: NodeJS.Timeout | undefined;
  const end = (why: EndReason): void => {
    reason ??= why;
    controller.abort();
  };
  const total = setTimeout(() => end('too_long'), totalMs);
  const pause = (): void => clearTimeout(silence);
  const touch = (): void => {
    pause();
    silence = setTimeout(() => end('silent'), silenceMs);
  };
  touch();
  return {
    signal: controller.signal,
    reason: () => reason,
    end,
    touch,
    pause,
    clear() {
      pause();
      clearTimeout(total);
    },
  };
}

/** What an ended call is called; undefined when nobody is left to hear it. */
export function faultOfEnd(reason: EndReason): ModelFault | undefined {
  switch (reason) {
    case 'client_gone':
      return undefined;
    case 'stopped':
      return endedTurn('task_stopped');
    case 'silent':
      return endedTurn('upstream_silent');
    case 'too_long':
      return endedTurn('upstream_too_long');
  }
}
