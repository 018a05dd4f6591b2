import type { RawData, WebSocket } from 'ws';
import {
  closeCodes,
  timing,
  tokenPrefix,
  unknownCommand,
  type BridgeRequestType,
  type BridgeRequests,
  type ReplyFrame,
} from '../../modules/contract.ts';
import { mintToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { asServiceError } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import type { BridgeHandlers, BridgeIdentity, StoredFrame } from './bridge.ts';
import { acknowledge, pendingFrames, replaceToken, touch } from './bridge-store.ts';
import { incomingFrame, isRequestType, requestSchemas } from './frames.ts';

/** One open WebSocket of one bridge. */
export interface Connection {
  /** Looks for commands to send and for work that a waiting `lease` request may take. */
  look(): void;
  close(code: number, reason: string): void;
  /** Resolves when every frame that had arrived is dealt with. */
  settled(): Promise<void>;
}

export interface ConnectionParts {
  readonly database: Database;
  readonly handlers: BridgeHandlers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A `lease` request is answered with null after this long, so that neither side waits on a dead peer. */
const leaseWaitMs = 25_000;
/** A socket from which nothing came for this long is dead; the bridge sends a heartbeat every 10 s. */
const silenceMs = timing.leaseMs;

interface WaitingLease {
  readonly id: string;
  readonly payload: BridgeRequests['lease']['payload'];
  readonly timer: NodeJS.Timeout;
}

/**
 * Speaks the frames of `modules/contract.ts` with one bridge.
 *
 * Order   requests are handled one after the other; a waiting `lease` holds nobody up.
 * Safety  commands stay in `bridge_frame` until answered; answers to work are sent only after commit.
 */
export function makeConnection(parts: ConnectionParts, bridge: BridgeIdentity, socket: WebSocket): Connection {
  const { database, handlers, clock, log } = parts;
  const sent = new Map<string, StoredFrame>();
  let lastSentId = 0;
  let waiting: WaitingLease | undefined;
  let queue: Promise<void> = Promise.resolve();
  let silence = setTimeout(() => undefined, 0);

  const enqueue = (work: () => Promise<void>): void => {
    queue = queue.then(work).catch((error: unknown) => {
      log.error({ error, workspaceId: bridge.workspaceId }, 'a bridge frame broke its handler');
      socket.close(1011, 'internal error');
    });
  };
  const send = (frame: unknown): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(frame));
  };
  const reply = (frame: ReplyFrame): void => send(frame);

  function heardSomething(): void {
    clearTimeout(silence);
    silence = setTimeout(() => socket.terminate(), silenceMs);
    silence.unref();
  }

  function received(raw: RawData): void {
    heardSomething();
    const frame = decode(raw);
    if (!frame) return socket.close(1007, 'not a frame');
    if ('type' in frame) enqueue(() => answer(frame.id, frame.type, frame.payload));
    else enqueue(() => answered(frame));
  }

  async function answer(id: string, type: string, payload: unknown): Promise<void> {
    if (!isRequestType(type)) return reply({ id, success: false, error: unknownCommand(type) });
    const parsed = requestSchemas[type].safeParse(payload);
    if (!parsed.success) {
      const first = parsed.error.issues[0];
      return reply({ id, success: false, error: `${type}: ${first?.path.join('.') ?? ''}: ${first?.message ?? ''}` });
    }
    if (type === 'lease') return waitForWork(id, parsed.data as BridgeRequests['lease']['payload']);
    try {
      reply({ id, success: true, data: await handle(type, parsed.data as never) });
    } catch (error) {
      const known = asServiceError(error);
      if (known.kind === 'internal') throw error;
      reply({ id, success: false, error: known.message });
    }
  }

  function handle(type: Exclude<BridgeRequestType, 'lease'>, payload: never): Promise<unknown> {
    switch (type) {
      case 'event':
        return handlers.event(bridge, payload);
      case 'ask':
        return handlers.ask(bridge, payload);
      case 'result':
        return handlers.result(bridge, payload);
      case 'heartbeat':
        return heartbeat(payload);
    }
  }

  async function heartbeat(
    payload: BridgeRequests['heartbeat']['payload'],
  ): Promise<BridgeRequests['heartbeat']['data']> {
    const now = clock.now();
    const renewed = await database.transaction(async (tx) => {
      const seen = await touch(tx, bridge, { connected: true, now });
      if (!seen) return 'superseded' as const;
      if (seen.tokenExpiresAt.getTime() - now.getTime() > timing.bridgeTokenMs / 2) return undefined;
      const { token, hash } = mintToken(tokenPrefix.bridge);
      const expiresAt = new Date(now.getTime() + timing.bridgeTokenMs);
      await replaceToken(tx, bridge, { hash, expiresAt });
      return { bridge_token: token, expires_at: expiresAt.toISOString() };
    });
    if (renewed === 'superseded') {
      socket.close(closeCodes.superseded, 'a newer registration took over');
      return { fenced: payload.holding };
    }
    const fenced = await handlers.heartbeat(bridge, payload.holding);
    return { fenced, ...(renewed ? { token: renewed } : {}) };
  }

  function waitForWork(id: string, payload: BridgeRequests['lease']['payload']): Promise<void> {
    if (waiting) giveUpWaiting(waiting);
    const timer = setTimeout(
      () => enqueue(() => Promise.resolve(waiting?.id === id ? giveUpWaiting(waiting) : undefined)),
      leaseWaitMs,
    );
    timer.unref();
    waiting = { id, payload, timer };
    return tryClaim();
  }

  function giveUpWaiting(request: WaitingLease): void {
    clearTimeout(request.timer);
    if (waiting === request) waiting = undefined;
    reply({ id: request.id, success: true, data: { lease: null } });
  }

  async function tryClaim(): Promise<void> {
    const request = waiting;
    if (!request || socket.readyState !== socket.OPEN) return;
    const lease = await handlers.claim(bridge, request.payload);
    if (!lease) return;
    clearTimeout(request.timer);
    waiting = undefined;
    reply({ id: request.id, success: true, data: { lease } });
  }

  async function sendPending(): Promise<void> {
    for (const frame of await pendingFrames(database, bridge.workspaceId, lastSentId)) {
      sent.set(frame.frameId, frame);
      lastSentId = frame.id;
      send({ id: frame.frameId, type: frame.type, payload: frame.payload });
    }
  }

  async function answered(frame: ReplyFrame): Promise<void> {
    const command = sent.get(frame.id);
    if (!command) return;
    sent.delete(frame.id);
    await database.transaction(async (tx) => {
      if (await acknowledge(tx, frame.id, clock.now())) await handlers.answered(tx, bridge, command, frame);
    });
  }

  heardSomething();
  socket.on('message', received);
  socket.on('error', (error) => log.debug({ error: error.message }, 'bridge socket failed'));
  socket.once('close', () => {
    clearTimeout(silence);
    if (waiting) clearTimeout(waiting.timer);
    waiting = undefined;
  });

  return {
    look: () => {
      enqueue(sendPending);
      enqueue(tryClaim);
    },
    close: (code, reason) => socket.close(code, reason),
    settled: () => queue,
  };
}

function decode(raw: RawData) {
  try {
    const result = incomingFrame.safeParse(JSON.parse(String(raw)));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
