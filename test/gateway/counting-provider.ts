import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { UpstreamFetch } from '../../service/gateway/upstream.ts';

/** What the provider itself counted for one answer. `completion` has the reasoning in it. */
export interface Figures {
  readonly prompt: number;
  readonly cached: number;
  readonly completion: number;
  readonly reasoning: number;
  readonly costMicroUsd: number;
}

/** How each kind of provider reports, in the last chunk or with the finish. */
export const ways = {
  openrouter: ({ prompt, cached, completion, reasoning, costMicroUsd }: Figures) => ({
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning },
    cost: costMicroUsd / 1e6,
    cost_details: { upstream_inference_cost: null },
  }),
  openai: ({ prompt, cached, completion, reasoning }: Figures) => ({
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning, accepted_prediction_tokens: 0 },
  }),
  anthropic: ({ prompt, completion }: Figures) => ({
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: null,
    completion_tokens_details: null,
  }),
  ollama: ({ prompt, completion }: Figures) => ({
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  }),
  /** Reasoning stands beside the completion. */
  beside: ({ prompt, cached, completion, reasoning }: Figures) => ({
    prompt_tokens: prompt,
    completion_tokens: completion - reasoning,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
  }),
} as const;
export type Way = keyof typeof ways;

export type Mishap =
  'none' | 'whole' | 'retried' | 'withFinish' | 'cutBeforeUsage' | 'cutMid' | 'reportedMid' | 'aborted';

export interface Order {
  readonly way: Way;
  readonly mishap: Mishap;
  readonly figures: Figures;
}

export interface CountingProvider {
  readonly url: string;
  /** Takes the place of the network where the gateway believes to speak to OpenRouter. */
  readonly fetch: UpstreamFetch;
  readonly hosts: readonly string[];
  next(order: Order): void;
  close(): Promise<void>;
}

const sse = { 'content-type': 'text/event-stream' };

/** A provider that counts for itself, answers as it is told, and knows by OpenRouter's route what it counted. */
export async function startCountingProvider(): Promise<CountingProvider> {
  let order: Order | undefined;
  let tries = 0;
  let calls = 0;
  const counted = new Map<string, Figures>();
  const hosts: string[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(request, response));
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://provider');
    if (url.pathname.endsWith('/generation')) return tell(url.searchParams.get('id') ?? '', response);
    if (order === undefined) return void response.writeHead(500).end();
    const { way, mishap, figures } = order;
    tries += 1;
    if (mishap === 'retried' && tries === 1) return void response.writeHead(503).end();
    const id = `gen-${++calls}`;
    counted.set(id, figures);
    const usage = ways[way](figures);
    const chunk = (rest: object): string => `data: ${JSON.stringify({ id, ...rest })}\n\n`;
    const word = chunk({ choices: [{ index: 0, delta: { content: 'word' }, finish_reason: null }] });
    const stop = { index: 0, delta: {}, finish_reason: 'stop' };
    if (mishap === 'whole') {
      const body = { id, choices: [{ index: 0, message: { content: 'word' }, finish_reason: 'stop' }], usage };
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    }
    response.writeHead(200, sse).write(word);
    if (mishap === 'aborted') return;
    if (mishap === 'cutMid') return void setImmediate(() => response.destroy());
    if (mishap === 'reportedMid') {
      const early = { prompt_tokens: figures.prompt, completion_tokens: 1 };
      return void response.write(chunk({ choices: [], usage: early }), () => response.destroy());
    }
    if (mishap === 'withFinish') return void response.end(`${chunk({ choices: [stop], usage })}data: [DONE]\n\n`);
    response.write(chunk({ choices: [stop] }), () => {
      if (mishap === 'cutBeforeUsage') response.destroy();
      else response.end(`${chunk({ choices: [], usage })}data: [DONE]\n\n`);
    });
  }

  function tell(id: string, response: ServerResponse): void {
    const one = counted.get(id);
    if (one === undefined) return void response.writeHead(404).end('{}');
    const data = {
      id,
      total_cost: one.costMicroUsd / 1e6,
      tokens_prompt: 1,
      tokens_completion: 1,
      native_tokens_prompt: one.prompt,
      native_tokens_completion: one.completion,
      native_tokens_reasoning: one.reasoning,
      native_tokens_cached: one.cached,
      cancelled: true,
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data }));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${origin}/v1`,
    hosts,
    fetch: (async (url: string, init: RequestInit) => {
      const { host, pathname, search } = new URL(url);
      hosts.push(host);
      return fetch(origin + pathname + search, init);
    }) as unknown as UpstreamFetch,
    next(given) {
      order = given;
      tries = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
