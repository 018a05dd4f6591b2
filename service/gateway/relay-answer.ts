import { once } from 'node:events';
import type { Response } from 'express';
import type { AnswerWatch } from './answer-watch.ts';
import { endedTurn } from './faults.ts';
import { dataOf, makeEventSplitter } from './sse.ts';
import type { Fuse, UpstreamAnswer } from './upstream.ts';

/** Largest single event, and largest answer of a call that did not ask for a stream, in characters. */
const largestPiece = 32 * 1024 * 1024;

export interface Relay {
  readonly upstream: UpstreamAnswer;
  readonly response: Response;
  readonly watch: AnswerWatch;
  readonly fuse: Fuse;
  readonly scrub: (text: string) => string;
}

/**
 * Passes a stream on, event by event, each checked before it goes.
 *
 * Order    nothing is sent before the first good event, so a bad first one can still be answered by a status.
 *          `[DONE]` is kept back for the caller to send, after the call was metered.
 * Errors   a `ModelFault` for anything after which the harness must not wait for more.
 */
export async function relayStream(relay: Relay): Promise<void> {
  const { upstream, watch, fuse } = relay;
  if (!contentType(upstream).includes('text/event-stream')) throw endedTurn('upstream_not_a_stream');
  const splitter = makeEventSplitter();
  const decoder = new TextDecoder();
  for await (const bytes of bodyOf(upstream)) {
    fuse.touch();
    for (const event of splitter.push(decoder.decode(bytes, { stream: true })))
      if ((await passEvent(relay, event)) === 'done') return watch.end();
    if (splitter.rest().length > largestPiece) throw endedTurn('upstream_malformed');
  }
  const rest = splitter.rest() + decoder.decode();
  if (rest.trim() !== '') await passEvent(relay, `${rest}\n\n`);
  watch.end();
}

async function passEvent({ response, watch, fuse, scrub }: Relay, event: string): Promise<'done' | 'more'> {
  const data = dataOf(event);
  if (data?.trim() === '[DONE]') return 'done';
  if (data !== undefined) watch.see(data);
  beginStream(response);
  fuse.pause();
  await write(response, scrub(event), fuse.signal);
  fuse.touch();
  return 'more';
}

/** Reads a whole answer and checks it; nothing is sent. */
export async function readWhole({ upstream, watch, fuse, scrub }: Omit<Relay, 'response'>): Promise<string> {
  if (!contentType(upstream).includes('json')) throw endedTurn('upstream_not_a_stream');
  const text = await readText(upstream, fuse, largestPiece);
  watch.see(text);
  watch.end();
  return scrub(text);
}

/** At most `limit` characters of a body. */
export async function readText(upstream: UpstreamAnswer, fuse: Fuse, limit: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of bodyOf(upstream)) {
    fuse.touch();
    text += decoder.decode(bytes, { stream: true });
    if (text.length > limit) return text.slice(0, limit);
  }
  return text + decoder.decode();
}

export function beginStream(response: Response): void {
  if (response.headersSent) return;
  response.status(200);
  response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
  response.setHeader('Cache-Control', 'no-store');
  // Reverse proxies would otherwise collect the stream before they pass it on.
  response.setHeader('X-Accel-Buffering', 'no');
  response.flushHeaders();
}

async function write(response: Response, text: string, signal: AbortSignal): Promise<void> {
  if (!response.write(text)) await once(response, 'drain', { signal });
}

const contentType = (upstream: UpstreamAnswer): string => (upstream.headers.get('content-type') ?? '').toLowerCase();

async function* nothing(): AsyncGenerator<Uint8Array> {}
const bodyOf = (upstream: UpstreamAnswer): AsyncIterable<Uint8Array> => upstream.body ?? nothing();
