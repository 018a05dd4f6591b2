import type { RawData, WebSocket } from 'ws';
import {
  closeCodes,
  readingTools,
  timing,
  tokenPrefix,
  toolTypes,
  unknownCommand,
  type BridgeRequestType,
  type BridgeRequests,
  type ReplyFrame,
} from '../../modules/contract.ts';
import { mintToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { asServiceError } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import type { BridgeHandlers, BridgeIdentity, RefusalKind, StoredFrame } from './bridge.ts';
import { callTypes, longestCallMs } from './call-bridge.ts';
import { acknowledge, pendingFrames, replaceToken, touch } from './bridge-store.ts';
import { incomingFrame, isRequestType, requestSchemas } from './frames.ts';

/** One open WebSocket of one bridge. */
export interface Connection {
  /** Looks for commands to send and for work that a waiting `lease` request may take. */
  look(): void;
  /** Drops every frame from now on; the bridge sends again what was not answered. */
  close(code: number, reason: string): void;
  /** Resolves when the frame in hand is dealt with. */
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

/** How long a peer may take to answer a close. */
const goodbyeMs = 2_000;
/** A bridge of ours is refused now and then; one that goes on after so many times is cut, and has to register again. */
const mostRefusals = 1_000;
/** Frames that may wait for their turn; with more, the socket is not read until half of them are dealt with. */
const waitingFrames = 64;

/** What changes something: it is not done again by another process of the bridge. */
const doneOnce = toolTypes.filter((type) => !readingTools.includes(type));

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
  let waiting: WaitingLease | undefined;
  let queue: Promise<void> = Promise.resolve();
  let silence: NodeJS.Timeout | undefined;
  let isClosing = false;
  let isLookPlanned = false;
  let inLine = 0;
  let refusals = 0;
  const refused = new Set<RefusalKind>();

  const enqueue = (work: () => Promise<void>): void => {
    queue = queue
      .then(() => (isClosing ? undefined : work()))
      .catch((error: unknown) => {
        log.error({ error, workspaceId: bridge.workspaceId }, 'a bridge frame broke its handler');
        close(1011, 'internal error');
      });
  };
  function close(code: number, reason: string): void {
    if (isClosing) return;
    isClosing = true;
    closeSocket(socket, code, reason);
  }
  const send = (frame: unknown): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(frame));
  };
  const reply = (frame: ReplyFrame): void => send(frame);

  function heardSomething(): void {
    clearTimeout(silence);
    // Nothing is heard from a paused socket, however alive its peer.
    silence = setTimeout(() => (socket.isPaused ? heardSomething() : socket.terminate()), silenceMs);
    silence.unref();
  }

  function noteRefusal(kind: RefusalKind): void {
    refusals += 1;
    if (refusals === mostRefusals) close(1008, 'too many refused requests');
    if (refused.has(kind)) return;
    refused.add(kind);
    log.warn({ workspaceId: bridge.workspaceId, kind }, 'a bridge was refused');
    handlers
      .refused?.(bridge, kind)
      .catch((error: unknown) => log.warn({ error, workspaceId: bridge.workspaceId }, 'cannot note a refusal'));
  }

  function received(raw: RawData): void {
    heardSomething();
    if (isClosing) return;
    const frame = decode(raw);
    if (!frame) {
      noteRefusal('no_frame');
      return close(1007, 'not a frame');
    }
    inLine += 1;
    if (inLine >= waitingFrames) socket.pause();
    enqueue(async () => {
      try {
        await ('type' in frame ? answer(frame.id, frame.type, frame.payload) : answered(frame));
      } finally {
        inLine -= 1;
        if (socket.isPaused && inLine <= waitingFrames / 2) socket.resume();
      }
    });
  }

  async function answer(id: string, type: string, payload: unknown): Promise<void> {
    if (!isRequestType(type)) {
      noteRefusal('unknown_type');
      return reply({ id, success: false, error: unknownCommand(type) });
    }
    const parsed = requestSchemas[type].safeParse(payload);
    if (!parsed.success) {
      noteRefusal('bad_request');
      const first = parsed.error.issues[0];
      return reply({ id, success: false, error: `${type}: ${first?.path.join('.') ?? ''}: ${first?.message ?? ''}` });
    }
    if (type === 'lease') return waitForWork(id, parsed.data as BridgeRequests['lease']['payload']);
    try {
      reply({ id, success: true, data: await handle(type, parsed.data as never) });
    } catch (error) {
      reply({ id, success: false, error: refusal(error) });
    }
    // A notification may have been lost: the heartbeat is the second way to whatever waits.
    if (type === 'heartbeat') look();
  }

  /** Why a request is refused, for its sender. Throws the error again when it is a bug of ours. */
  function refusal(error: unknown): string {
    const known = asServiceError(error);
    if (known.kind !== 'internal') {
      if (known.kind !== 'unavailable') noteRefusal('not_allowed');
      return known.message;
    }
    if (!isUnstorable(error)) throw error;
    // Not the error itself: a database's words repeat what they complain about.
    log.warn({ code: codeOf(error), workspaceId: bridge.workspaceId }, 'a bridge sent what cannot be stored');
    return 'This request holds text, numbers or nesting that cannot be stored. Send it again without them.';
  }

  function handle(type: Exclude<BridgeRequestType, 'lease'>, payload: never): Promise<unknown> {
    switch (type) {
      case 'event':
        return handlers.event(bridge, payload);
      case 'ask':
        return handlers.ask(bridge, payload);
      case 'artifact':
        return handlers.artifact(bridge, payload);
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
      close(closeCodes.superseded, 'a newer registration took over');
      return { fenced: payload.holding };
    }
    if (payload.ide) await handlers.ide?.(bridge, payload.ide);
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
    let answer: ReplyFrame;
    try {
      const lease = await handlers.claim(bridge, request.payload);
      if (!lease) return;
      answer = { id: request.id, success: true, data: { lease } };
    } catch (error) {
      answer = { id: request.id, success: false, error: refusal(error) };
    }
    clearTimeout(request.timer);
    waiting = undefined;
    reply(answer);
  }

  async function sendPending(): Promise<void> {
    const since = new Date(clock.now().getTime() - longestCallMs);
    const calls = { types: [...callTypes], since, once: doneOnce };
    for (const frame of await pendingFrames(database, bridge.workspaceId, [...sent.keys()], calls)) {
      sent.set(frame.frameId, frame);
      send({ id: frame.frameId, type: frame.type, payload: frame.payload });
    }
  }

  async function answered(frame: ReplyFrame): Promise<void> {
    const command = sent.get(frame.id);
    if (!command) return;
    sent.delete(frame.id);
    await database.transaction(async (tx) => {
      const isCall = callTypes.has(command.type);
      if (await acknowledge(tx, frame.id, clock.now(), isCall ? frame : null))
        await handlers.answered(tx, bridge, command, frame);
    });
  }

  function look(): void {
    if (isLookPlanned) return;
    isLookPlanned = true;
    enqueue(() => {
      isLookPlanned = false;
      return sendPending();
    });
    enqueue(tryClaim);
  }

  heardSomething();
  socket.on('message', received);
  socket.on('error', (error) => {
    log.debug({ error: error.message }, 'bridge socket failed');
    const kind = faults[codeOf(error) ?? ''];
    if (kind) noteRefusal(kind);
  });
  socket.once('close', () => {
    isClosing = true;
    clearTimeout(silence);
    if (waiting) clearTimeout(waiting.timer);
    waiting = undefined;
  });

  return { look, close, settled: () => queue };
}

/** Closes a socket, and cuts it when its peer does not answer the close in time. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason);
  // A paused socket would never see the answer.
  socket.resume();
  const cut = setTimeout(() => socket.terminate(), goodbyeMs);
  cut.unref();
  socket.once('close', () => clearTimeout(cut));
}

/** Words of `ws` for a frame that it does not pass on; it closes the socket itself, with 1009 or 1007. */
const faults: Readonly<Record<string, RefusalKind>> = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 'too_large',
  WS_ERR_INVALID_UTF8: 'no_utf8',
};

/** SQLSTATE class 22 says that the data is at fault, 54001 that it is nested too deep for the database. */
const isUnstorable = (error: unknown): boolean =>
  error instanceof RangeError || /^(22...|54001)$/.test(codeOf(error) ?? '');

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

function decode(raw: RawData) {
  try {
    const result = incomingFrame.safeParse(JSON.parse(String(raw)));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
