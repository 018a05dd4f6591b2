import { connect, createServer, type Server, type Socket } from 'node:net';
import { endOfHead, maxHeadBytes, parseRequest, parseResponse, valueOf, type RequestHead } from './gate-head.ts';
import { isWebSocket, openingOf, requestForIde, responseForBrowser, targetBehind } from './gate-rewrite.ts';

export interface GateOptions {
  /** Loopback port; 0 picks a free one. */
  readonly port: number;
  /** First element of every path that is answered. */
  readonly gatePath: string;
  /** Unix socket of the IDE; null while it does not run. */
  readonly ideSocket: () => string | null;
  /** One sentence for whoever asks while it does not. */
  readonly absence: () => string;
  /** What the IDE is asked when Coder asks for `/healthz`. */
  readonly healthPath: string;
  /** Folder with the files of the task that runs now; null while none does. */
  readonly taskFiles: () => string | null;
}

export interface Gate {
  readonly port: number;
  close(): void;
}

const headTimeoutMs = 10_000;
const lingerMs = 1_000;
/** Connections that have not yet said what they want; the oldest goes when another one comes. */
const maxWaiting = 128;

const refusal = 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

/**
 * The only way to the IDE by network: whoever does not know `gatePath` gets 404 and nothing else, whatever is sent.
 *
 * The sidecar shares this loopback. So a request is read whole and strictly before anything is forwarded, nothing of
 * another connection is reused for it, and each connection carries one request only.
 *
 * Errors   EADDRINUSE where somebody else has the port.
 */
export async function openGate(options: GateOptions): Promise<Gate> {
  const waiting = new Set<Socket>();
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    open.add(client);
    client.on('error', () => client.destroy());
    // All was said. A client that keeps its half open must not keep the connection.
    client.on('finish', () => void setTimeout(() => client.destroy(), lingerMs).unref());
    client.on('close', () => {
      open.delete(client);
      waiting.delete(client);
    });
    waiting.add(client);
    if (waiting.size > maxWaiting) [...waiting][0]?.destroy();
    readHead(client, headTimeoutMs, (head, rest) => {
      waiting.delete(client);
      if (head === null) refuse(client);
      else answer(client, head, rest, options);
    });
  });
  const port = await listen(server, options.port);
  return {
    port,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function listen(server: Server, port: number): Promise<number> {
  return await new Promise((settle, fail) => {
    server.once('error', fail);
    // Exclusive: no other process of this user may share the port by SO_REUSEPORT.
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      server.off('error', fail);
      server.on('error', () => undefined);
      const address = server.address();
      settle(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/** Calls back once, with null when no whole head came in time or in size. Then the socket is paused. */
function readHead(socket: Socket, timeoutMs: number, then: (head: Buffer | null, rest: Buffer) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => done(null, 0), timeoutMs);
  const done = (head: Buffer | null, size: number): void => {
    clearTimeout(timer);
    socket.pause();
    socket.off('data', take);
    socket.off('end', give);
    socket.off('close', give);
    then(head, bytes.subarray(size));
  };
  const give = (): void => done(null, 0);
  const take = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    const size = endOfHead(bytes);
    if (size !== null && size <= maxHeadBytes) done(bytes.subarray(0, size), size);
    else if (bytes.length > maxHeadBytes) done(null, 0);
  };
  socket.on('data', take);
  socket.once('end', give);
  socket.once('close', give);
}

/** The rest of what was sent is read and thrown away, because a reset would take the answer with it. */
function finish(client: Socket, text: string): void {
  client.on('data', () => undefined);
  client.resume();
  client.end(text, 'latin1');
}

const refuse = (client: Socket): void => finish(client, refusal);

function answer(client: Socket, head: Buffer, rest: Buffer, options: GateOptions): void {
  const request = parseRequest(head);
  const asked = request === null ? null : targetBehind(options.gatePath, request.target);
  if (request === null || asked === null) return refuse(client);
  const path = options.ideSocket();
  if (path === null) return finish(client, unavailable(options.absence()));
  const opening = openingOf(asked, options.taskFiles());
  if (opening !== null) return finish(client, redirect(opening));
  const target = asked === healthPath ? options.healthPath : asked;

  const ide = connect({ path, allowHalfOpen: true });
  let hasAnswered = false;
  const end = (): void => {
    ide.destroy();
    if (hasAnswered) client.destroy();
    else finish(client, unavailable('The editor gave no answer.'));
    hasAnswered = true;
  };
  ide.once('error', end);
  client.once('close', () => ide.destroy());
  ide.write(requestForIde(request, target), 'latin1');
  if (hasMore(request)) {
    ide.write(rest);
    client.pipe(ide);
  } else {
    // Nothing belongs to this request any more, and nothing else is forwarded on its word.
    client.on('data', () => undefined);
    client.once('end', () => ide.end());
    client.resume();
  }
  const relay = (bytes: Buffer | null, more: Buffer): void => {
    const response = bytes === null ? null : parseResponse(bytes);
    if (response === null) return end();
    hasAnswered = true;
    client.write(responseForBrowser(response, target, valueOf(request.headers, 'host')), 'latin1');
    client.write(more);
    ide.pipe(client);
  };
  readHead(ide, ideTimeoutMs, relay);
}

/** Whether anything follows the head: a body, or what a WebSocket carries. */
const hasMore = (request: RequestHead): boolean =>
  isWebSocket(request) ||
  ['content-length', 'transfer-encoding'].some((name) => valueOf(request.headers, name) !== null);

/** Where Coder looks, whatever the IDE. */
const healthPath = '/healthz';

/** Starting an extension host can take long on a small machine. */
const ideTimeoutMs = 120_000;

const redirect = (location: string): string =>
  [
    'HTTP/1.1 302 Found',
    `Location: ${location}`,
    'Content-Length: 0',
    'Cache-Control: no-store',
    'Connection: close',
    '',
    '',
  ].join('\r\n');

/** A page that asks again by itself, for the person who opened the app too early. */
function unavailable(sentence: string): string {
  const body = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="3"><title>IDE</title><p>${sentence
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')}</p>\n`;
  return [
    'HTTP/1.1 503 Service Unavailable',
    'Content-Type: text/html; charset=utf-8',
    `Content-Length: ${String(Buffer.byteLength(body))}`,
    'Cache-Control: no-store',
    'Retry-After: 3',
    'Connection: close',
    '',
    // Written as latin1 like every head, so what is longer than a byte goes in pieces.
    Buffer.from(body).toString('latin1'),
  ].join('\r\n');
}
