import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import {
  closeCodes,
  type AttemptRef,
  type BridgeRequests,
  type BridgeRequestType,
  type Evidence,
  type Lease,
  type ReplyFrame,
  type RequestFrame,
  type ServiceRequests,
  type ServiceRequestType,
} from '../../../modules/contract.ts';

export type EventPayload = BridgeRequests['event']['payload'];
export type AskPayload = BridgeRequests['ask']['payload'];

export interface FakeServiceOptions {
  /** Base of an OpenAI-compatible model, ending in `/v1`. */
  readonly modelUrl: string;
  readonly heartbeatSeconds?: number;
  readonly tokenMs?: number;
}

/** The service as far as a bridge sees it: it speaks the contract's frames and keeps what it heard. */
export interface FakeService {
  readonly url: string;
  readonly proof: string;
  readonly registrations: readonly Record<string, unknown>[];
  /** Answers of `register` to give before the good one, e.g. `[401]`. */
  readonly refusals: number[];
  /** Every request frame, as it arrived. */
  readonly frames: readonly RequestFrame[];
  /** Stored events, each once. */
  readonly events: readonly EventPayload[];
  readonly asks: readonly AskPayload[];
  readonly results: readonly BridgeRequests['result']['payload'][];
  /** Files that attempts left, by name. */
  readonly artifacts: ReadonlyMap<string, Buffer>;
  /** Tokens with which the model was called. */
  readonly modelTokens: ReadonlySet<string>;
  /** Attempts that a heartbeat will call fenced. */
  readonly fenced: AttemptRef[];
  /** While true events are heard and not answered. */
  holdsAcknowledgements: boolean;
  offer(lease: Lease): void;
  send<Type extends ServiceRequestType>(
    type: Type,
    payload: ServiceRequests[Type]['payload'],
  ): Promise<ReplyFrame<ServiceRequests[Type]['data']>>;
  /** Sends any frame and answers the reply with its id. */
  sendRaw(frame: { id: string; type: string; payload: unknown }): Promise<ReplyFrame>;
  decide(ask: AskPayload, decision: 'once' | 'reject', message?: string): Promise<void>;
  resultOf(ref: AttemptRef): Evidence | undefined;
  eventsOf(ref: AttemptRef): readonly EventPayload[];
  readonly isConnected: boolean;
  /** Connections opened so far. */
  readonly connections: number;
  readonly renewals: number;
  /** From now on no token minted so far opens a connection. */
  forgetTokens(): void;
  /** Cuts every connection without a goodbye. */
  cut(): void;
  supersede(): void;
  close(): Promise<void>;
}

export async function startFakeService(options: FakeServiceOptions): Promise<FakeService> {
  const proof = `kid1.${randomUUID().replaceAll('-', '')}canaryproof`;
  const state = {
    registrations: [] as Record<string, unknown>[],
    refusals: [] as number[],
    frames: [] as RequestFrame[],
    events: [] as EventPayload[],
    asks: [] as AskPayload[],
    results: [] as BridgeRequests['result']['payload'][],
    artifacts: new Map<string, Buffer>(),
    modelTokens: new Set<string>(),
    fenced: [] as AttemptRef[],
    offers: [] as Lease[],
    tokens: new Set<string>(),
    holdsAcknowledgements: false,
    renewals: 0,
    connections: 0,
  };
  const waiting = new Map<string, (reply: ReplyFrame) => void>();
  let socket: WebSocket | null = null;
  let openLease: string | null = null;

  const server = createServer((request, response) => void serve(request, response));
  const sockets = new WebSocketServer({ noServer: true });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bearer = request.headers.authorization?.replace('Bearer ', '') ?? '';
    const body = await readAll(request);
    if (request.url === '/api/v2/agents/opencode/register') {
      const refusal = state.refusals.shift() ?? (bearer === proof ? null : 401);
      if (refusal !== null) return problem(response, refusal);
      state.registrations.push(JSON.parse(body) as Record<string, unknown>);
      response.writeHead(201, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          ...mintToken(),
          heartbeat_interval_seconds: options.heartbeatSeconds ?? 1,
          lease_seconds: 45,
          protocol_version: 1,
        }),
      );
      return;
    }
    if (request.url?.startsWith('/llm/v1/')) {
      state.modelTokens.add(bearer);
      const url = options.modelUrl.replace(/\/v1$/, '') + request.url.slice('/llm'.length);
      const controller = new AbortController();
      response.once('close', () => controller.abort());
      try {
        const answer = await fetch(url, {
          method: 'POST',
          body,
          headers: { 'content-type': 'application/json' },
          signal: controller.signal,
        });
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
        for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) response.write(chunk);
        response.end();
      } catch {
        response.destroy();
      }
      return;
    }
    if (request.url === '/healthz') return void response.writeHead(200).end('ok');
    problem(response, 404);
  }

  function mintToken(): { bridge_token: string; expires_at: string } {
    const token = `orb_${randomUUID().replaceAll('-', '')}canarybridge`;
    state.tokens.add(token);
    return { bridge_token: token, expires_at: new Date(Date.now() + (options.tokenMs ?? 600_000)).toISOString() };
  }

  server.on('upgrade', (request, raw, head) => {
    // A bridge that is killed resets its connections.
    raw.on('error', () => undefined);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    if (!state.tokens.has(token)) return void raw.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
    sockets.handleUpgrade(request, raw, head, (opened) => {
      socket = opened;
      state.connections += 1;
      openLease = null;
      opened.on('message', (data) => received(JSON.parse(String(data)) as RequestFrame | ReplyFrame));
      opened.on('error', () => undefined);
      opened.on('close', () => (socket = socket === opened ? null : socket));
    });
  });

  function received(frame: RequestFrame | ReplyFrame): void {
    if (!('type' in frame)) {
      waiting.get(frame.id)?.(frame);
      waiting.delete(frame.id);
      return;
    }
    state.frames.push(frame);
    const data = handlers[frame.type as BridgeRequestType](frame.payload as never, frame.id);
    if (data === 'later') return;
    reply(
      typeof data === 'string' ? { id: frame.id, success: false, error: data } : { id: frame.id, success: true, data },
    );
  }

  const reply = (frame: ReplyFrame): void => socket?.send(JSON.stringify(frame));
  const isFenced = (ref: AttemptRef): boolean =>
    state.fenced.some((one) => one.task_id === ref.task_id && one.attempt === ref.attempt);

  const handlers: { [Type in BridgeRequestType]: (payload: BridgeRequests[Type]['payload'], id: string) => unknown } = {
    lease: (_payload, id) => {
      openLease = id;
      giveWork();
      return 'later';
    },
    event: (payload) => {
      if (state.holdsAcknowledgements) return 'later';
      if (isFenced(payload)) return 'fenced';
      const last = eventsOf(payload).at(-1)?.source_seq ?? 0;
      if (payload.source_seq === last + 1) state.events.push(payload);
      return { acked: Math.max(last, Math.min(payload.source_seq, last + 1)) };
    },
    ask: (payload) => {
      if (isFenced(payload)) return 'fenced';
      if (!state.asks.some((one) => one.ask_id === payload.ask_id && one.attempt === payload.attempt))
        state.asks.push(payload);
      return { approval_id: randomUUID() };
    },
    artifact: (payload) => {
      if (isFenced(payload)) return 'fenced';
      const stored = state.artifacts.get(payload.name) ?? Buffer.alloc(0);
      const all =
        payload.offset === stored.length ? Buffer.concat([stored, Buffer.from(payload.data, 'base64')]) : stored;
      state.artifacts.set(payload.name, all);
      return { received: all.length, complete: all.length === payload.bytes };
    },
    result: (payload) => {
      if (isFenced(payload)) return { accepted: false };
      state.results.push(payload);
      return { accepted: true };
    },
    heartbeat: ({ holding }) => {
      if (options.tokenMs !== undefined) state.renewals += 1;
      return { fenced: holding.filter(isFenced), ...(options.tokenMs === undefined ? {} : { token: mintToken() }) };
    },
  };

  function giveWork(): void {
    const lease = openLease === null ? undefined : state.offers.shift();
    if (openLease === null || !lease) return;
    reply({ id: openLease, success: true, data: { lease } });
    openLease = null;
  }

  const eventsOf = (ref: AttemptRef): readonly EventPayload[] =>
    state.events.filter((event) => event.task_id === ref.task_id && event.attempt === ref.attempt);

  function sendRaw(frame: { id: string; type: string; payload: unknown }): Promise<ReplyFrame> {
    if (!socket) return Promise.reject(new Error('no bridge is connected'));
    socket.send(JSON.stringify(frame));
    return new Promise((resolve) => waiting.set(frame.id, resolve));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    proof,
    registrations: state.registrations,
    refusals: state.refusals,
    frames: state.frames,
    events: state.events,
    asks: state.asks,
    results: state.results,
    artifacts: state.artifacts,
    modelTokens: state.modelTokens,
    fenced: state.fenced,
    get holdsAcknowledgements() {
      return state.holdsAcknowledgements;
    },
    set holdsAcknowledgements(value) {
      state.holdsAcknowledgements = value;
    },
    offer(lease) {
      state.offers.push(lease);
      giveWork();
    },
    send: (type, payload) => sendRaw({ id: randomUUID(), type, payload }) as never,
    sendRaw,
    async decide({ task_id, attempt, ask_id }, decision, message) {
      const frame = { task_id, attempt, ask_id, decision, ...(message === undefined ? {} : { message }) };
      await sendRaw({ id: randomUUID(), type: 'decision', payload: frame });
    },
    resultOf: (ref) =>
      state.results.find((one) => one.task_id === ref.task_id && one.attempt === ref.attempt)?.evidence,
    eventsOf,
    get isConnected() {
      return socket !== null;
    },
    get connections() {
      return state.connections;
    },
    get renewals() {
      return state.renewals;
    },
    forgetTokens: () => state.tokens.clear(),
    cut: () => socket?.terminate(),
    supersede: () => socket?.close(closeCodes.superseded, 'superseded'),
    async close() {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function problem(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ status, detail: `The fake service answers ${status}.` }));
}

async function readAll(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}
