import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { Caller, Identity } from '../identity/identity.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import type { EventStream } from './event-stream.ts';

/**
 * Where `<prefix><id>/events` leads as a WebSocket: the stream, and who finds the thing if the caller may see it and
 * throws otherwise.
 */
export type SocketRoute<Parts> = readonly [
  prefix: string,
  stream: () => EventStream,
  find: (parts: Parts, caller: Caller, id: string, requestId: string) => Promise<unknown>,
];

/** A watcher has nothing to say. */
const heardBytes = 1_024;

/**
 * Turns requests for `…/events` into WebSockets with the events that the same path gives as Server-Sent Events. Who
 * calls is told as on every route, but by header only: a page of somebody else could open a socket with a cookie.
 *
 * Errors  what the route itself would answer, before the connection is taken.
 */
export function makeEventSockets<Parts extends { readonly clock: Clock }>(
  identity: Pick<Identity, 'callerFor'>,
  routes: readonly SocketRoute<Parts>[],
  parts: Parts,
): (request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void> {
  const server = new WebSocketServer({ noServer: true, maxPayload: heardBytes, perMessageDeflate: false });
  return async (request, socket, head) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const found = routes.flatMap(([prefix, stream, find]) => {
      const rest = path.startsWith(prefix) ? path.slice(prefix.length).split('/') : [];
      return rest.length === 2 && rest[1] === 'events' ? [{ stream, find, id: rest[0] ?? '' }] : [];
    })[0];
    if (!found) throw notFound(`GET ${path}`);
    const requestId = uuidv7(parts.clock);
    const caller = await identity.callerFor(request, requestId);
    await found.find(parts, caller, found.id, requestId);
    server.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => undefined);
      found
        .stream()
        .serveSocket(request, webSocket, found.id)
        .catch((error: unknown) => {
          const isCallers = error instanceof ServiceError;
          webSocket.close(isCallers ? 1008 : 1011, isCallers ? error.code : 'internal error');
        });
    });
  };
}
