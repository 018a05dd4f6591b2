import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { closeCodes, limits } from '../../modules/contract.ts';
import { bearerOf } from '../identity/identity.ts';
import { hashToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { httpStatus } from '../platform/errors.ts';
import { asServiceError } from '../platform/http.ts';
import type { Listener } from '../platform/listener.ts';
import type { Logger } from '../platform/logger.ts';
import { bridgeChannel, type BridgeHandlers, type BridgeIdentity } from './bridge.ts';
import { bridgeByToken, currentGeneration, touch } from './bridge-store.ts';
import { closeSocket, makeConnection, type Connection } from './connection.ts';

export const bridgePath = '/api/v2/agents/bridge';

/** Holds the connections that this process has to workspaces; all were opened from there. */
export interface BridgeHub {
  attach(server: Server): void;
  /** Says goodbye to every bridge, so that it comes back to another replica or the next start. */
  drain(): Promise<void>;
  readonly size: number;
}

export interface HubParts {
  readonly database: Database;
  readonly listener: Listener;
  readonly handlers: BridgeHandlers;
  readonly clock: Clock;
  readonly log: Logger;
  /** Takes connections to other paths; throws what the caller is to be answered. Left out, there are none. */
  readonly elsewhere?: (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>;
}

export function makeBridgeHub(parts: HubParts): BridgeHub {
  const { database, clock, log, listener } = parts;
  const server = new WebSocketServer({ noServer: true, maxPayload: limits.frameBytes, perMessageDeflate: false });
  const connections = new Map<string, { connection: Connection; generation: number }>();
  /** Sockets that asked to be upgraded; the HTTP server does not know them any more. */
  const sockets = new Set<Duplex>();
  const leaving = new Set<Promise<void>>();
  let draining = false;

  async function accept(socket: WebSocket, bridge: BridgeIdentity): Promise<void> {
    socket.on('error', () => undefined);
    // Frames that come before the connection listens would be lost.
    socket.pause();
    const isNewest = await database.transaction((tx) => touch(tx, bridge, { connected: true, now: clock.now() }));
    const held = connections.get(bridge.workspaceId);
    if (!isNewest || (held && held.generation > bridge.generation)) return closeSocket(socket, ...takenOver);
    if (draining) return closeSocket(socket, ...restarting);
    const connection = makeConnection(parts, bridge, socket);
    connections.set(bridge.workspaceId, { connection, generation: bridge.generation });
    held?.connection.close(...takenOver);
    socket.once('close', () => {
      const left = leave(bridge, connection).finally(() => leaving.delete(left));
      leaving.add(left);
    });
    socket.resume();
    log.info({ workspaceId: bridge.workspaceId, generation: bridge.generation }, 'bridge connected');
    connection.look();
  }

  async function leave(bridge: BridgeIdentity, connection: Connection): Promise<void> {
    log.info({ workspaceId: bridge.workspaceId, generation: bridge.generation }, 'bridge disconnected');
    // Another connection of the same registration may have taken its place: the bridge is still there.
    if (connections.get(bridge.workspaceId)?.connection !== connection) return;
    connections.delete(bridge.workspaceId);
    await database
      .transaction((tx) => touch(tx, bridge, { connected: false, now: clock.now() }))
      .catch((error: Error) => log.warn({ error: error.message }, 'cannot note that a bridge left'));
  }

  async function heard(workspaceId: string): Promise<void> {
    const held = connections.get(workspaceId);
    if (!held) return;
    const generation = await currentGeneration(database, workspaceId);
    if (generation !== held.generation) held.connection.close(...takenOver);
    else held.connection.look();
  }

  const hear = (workspaceId: string): void =>
    void heard(workspaceId).catch((error: Error) => log.warn({ error: error.message }, 'cannot look for frames'));

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const path = (request.url ?? '').split('?')[0];
    if (draining) return refuse(socket, 503, 'Service Unavailable');
    if (path !== bridgePath)
      return parts.elsewhere ? parts.elsewhere(request, socket, head) : refuse(socket, 404, 'Not Found');
    const token = bearerOf(request);
    const bridge = token === undefined ? null : await bridgeByToken(database, hashToken(token), clock.now());
    if (!bridge) return refuse(socket, 401, 'Unauthorized');
    if (draining) return refuse(socket, 503, 'Service Unavailable');
    server.handleUpgrade(request, socket, head, (webSocket) => {
      accept(webSocket, bridge).catch((error: Error) => {
        log.warn({ error: error.message }, 'cannot accept a bridge');
        closeSocket(webSocket, 1011, 'internal error');
      });
    });
  }

  listener.on(bridgeChannel, hear, () => [...connections.keys()].forEach(hear));

  return {
    attach(httpServer) {
      httpServer.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        socket.on('error', () => undefined);
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        upgrade(request, socket, head).catch((error: Error) => {
          const status = httpStatus[asServiceError(error).kind];
          if (status >= 500) log.warn({ error: error.message }, 'cannot upgrade a connection');
          refuse(socket, status, STATUS_CODES[status] ?? 'Error');
        });
      });
    },
    async drain() {
      draining = true;
      const open = [...connections.values()].map(({ connection }) => connection);
      for (const connection of open) connection.close(...restarting);
      const closed = [...server.clients].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
      await atMost(goodbyeMs, [...closed, ...open.map((connection) => connection.settled())]);
      for (const socket of server.clients) socket.terminate();
      for (const socket of sockets) socket.destroy();
      server.close();
      await atMost(goodbyeMs, [...leaving]);
    },
    get size() {
      return connections.size;
    },
  };
}

const takenOver = [closeCodes.superseded, 'a newer registration took over'] as const;
const restarting = [closeCodes.draining, 'the service restarts'] as const;

/** How long a bridge may take to close its side. */
const goodbyeMs = 2_000;

async function atMost(milliseconds: number, work: readonly Promise<unknown>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)));
  await Promise.race([Promise.allSettled(work), late]);
  clearTimeout(timer);
}

/** Answers and closes both directions: a caller that keeps its half open would keep the server from closing. */
function refuse(socket: Duplex, status: number, text: string): void {
  const cut = setTimeout(() => socket.destroy(), goodbyeMs);
  cut.unref();
  socket.once('close', () => clearTimeout(cut));
  socket.resume();
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
