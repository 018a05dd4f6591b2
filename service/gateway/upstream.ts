import { Agent, fetch as undiciFetch } from 'undici';
import { endedTurn, upstreamUnreachable, type ModelFault } from './faults.ts';

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** As much of `fetch` as the gateway uses. */
export type UpstreamFetch = (
  url: string,
  init: {
    readonly method: 'POST';
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly signal: AbortSignal;
    /** A redirect is never followed: it would carry the key to another host. */
    readonly redirect: 'manual';
  },
) => Promise<UpstreamAnswer>;

/** The upstream as one key opens it. */
export interface KeyedUpstream {
  /** Rejects with a `ModelFault`. */
  send(body: string, isStream: boolean, signal: AbortSignal): Promise<UpstreamAnswer>;
  /** Removes the provider's key from a text. */
  scrub(text: string): string;
}

export interface Upstream {
  /** Null means the service's own key. */
  with(apiKey: string | null): KeyedUpstream;
  close(): Promise<void>;
}

export function makeUpstream(options: {
  readonly url: string;
  readonly apiKey: string | null;
  readonly fetch?: UpstreamFetch;
}): Upstream {
  // Silence is measured by the call itself, over the head and the body alike.
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 10_000 } });
  const dial: UpstreamFetch = options.fetch ?? ((url, init) => undiciFetch(url, { ...init, dispatcher: agent }));
  const url = `${options.url.replace(/\/+$/, '')}/chat/completions`;
  const keyed = (apiKey: string | null): KeyedUpstream => ({
    async send(body, isStream, signal) {
      const headers = {
        'content-type': 'application/json',
        accept: isStream ? 'text/event-stream' : 'application/json',
        ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
      };
      try {
        return await dial(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
      } catch (error) {
        throw signal.aborted ? error : upstreamUnreachable(error);
      }
    },
    scrub: (text) => (apiKey === null || apiKey === '' ? text : text.replaceAll(apiKey, '[redacted]')),
  });
  return { with: (apiKey) => keyed(apiKey ?? options.apiKey), close: () => agent.destroy() };
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
