import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { closeCodes, limits } from '../../modules/contract.ts';
import { bearerOf } from '../identity/identity.ts';
import { hashToken, type Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Listener } from '../platform/listener.ts';
import type { Logger } from '../platform/logger.ts';
import { bridgeChannel, type BridgeHandlers, type BridgeIdentity } from './bridge.ts';
import { bridgeByToken, currentGeneration, touch } from './bridge-store.ts';
import { makeConnection, type Connection } from './connection.ts';

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
}

export function makeBridgeHub(parts: HubParts): BridgeHub {
  const { database, clock, log, listener } = parts;
  const server = new WebSocketServer({ noServer: true, maxPayload: limits.frameBytes, perMessageDeflate: false });
  const connections = new Map<string, { connection: Connection; generation: number }>();
  let draining = false;

  async function accept(socket: WebSocket, bridge: BridgeIdentity): Promise<void> {
    const connection = makeConnection(parts, bridge, socket);
    connections.get(bridge.workspaceId)?.connection.close(closeCodes.superseded, 'a newer registration took over');
    connections.set(bridge.workspaceId, { connection, generation: bridge.generation });
    socket.once('close', () => void leave(bridge, connection));
    await database.transaction((tx) => touch(tx, bridge, { connected: true, now: clock.now() }));
    log.info({ workspaceId: bridge.workspaceId, generation: bridge.generation }, 'bridge connected');
    connection.look();
  }

  async function leave(bridge: BridgeIdentity, connection: Connection): Promise<void> {
    if (connections.get(bridge.workspaceId)?.connection === connection) connections.delete(bridge.workspaceId);
    log.info({ workspaceId: bridge.workspaceId, generation: bridge.generation }, 'bridge disconnected');
    await database
      .transaction((tx) => touch(tx, bridge, { connected: false, now: clock.now() }))
      .catch((error: Error) => log.warn({ error: error.message }, 'cannot note that a bridge left'));
  }

  async function heard(workspaceId: string): Promise<void> {
    const held = connections.get(workspaceId);
    if (!held) return;
    const generation = await currentGeneration(database, workspaceId);
    if (generation !== held.generation) held.connection.close(closeCodes.superseded, 'a newer registration took over');
    else held.connection.look();
  }

  const hear = (workspaceId: string): void =>
    void heard(workspaceId).catch((error: Error) => log.warn({ error: error.message }, 'cannot look for frames'));

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const path = (request.url ?? '').split('?')[0];
    if (path !== bridgePath) return refuse(socket, 404, 'Not Found');
    if (draining) return refuse(socket, 503, 'Service Unavailable');
    const token = bearerOf(request);
    const bridge = token === undefined ? null : await bridgeByToken(database, hashToken(token), clock.now());
    if (!bridge) return refuse(socket, 401, 'Unauthorized');
    server.handleUpgrade(request, socket, head, (webSocket) => {
      accept(webSocket, bridge).catch((error: Error) => {
        log.warn({ error: error.message }, 'cannot accept a bridge');
        webSocket.close(1011);
      });
    });
  }

  listener.on(bridgeChannel, hear, () => [...connections.keys()].forEach(hear));

  return {
    attach(httpServer) {
      httpServer.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        socket.on('error', () => undefined);
        upgrade(request, socket, head).catch((error: Error) => {
          log.warn({ error: error.message }, 'cannot upgrade a connection');
          refuse(socket, 500, 'Internal Server Error');
        });
      });
    },
    async drain() {
      draining = true;
      const open = [...connections.values()].map(({ connection }) => connection);
      for (const connection of open) connection.close(closeCodes.draining, 'the service restarts');
      await Promise.all(open.map((connection) => connection.settled()));
      server.close();
    },
    get size() {
      return connections.size;
    },
  };
}

function refuse(socket: Duplex, status: number, text: string): void {
  socket.end(`HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
