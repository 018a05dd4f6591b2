import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { relayGit } from './git-relay.ts';
import { makeToolCallHold, type ToolCallHold } from './hold-tool-calls.ts';
import type { Log } from './log.ts';

/** Where an attempt's harness finds its model: a place that works only while the attempt runs. */
export interface RelayPlace {
  readonly url: string;
  /** Base of the repositories that the service reaches for the task: `<gitUrl>/<host>/<path>`. */
  readonly gitUrl: string;
  readonly calls: number;
  /** Ends the place and every call that is open on it. Answers how many could not be ended; 0 is the proof. */
  close(): number;
}

export interface Relay {
  readonly port: number;
  open(place: { taskToken: string; callLimit: number; onLimit: () => void }): RelayPlace;
  close(): Promise<void>;
}

interface OpenPlace {
  readonly taskToken: string;
  readonly callLimit: number;
  readonly onLimit: () => void;
  readonly open: Set<AbortController>;
  calls: number;
}

const maxBodyBytes = 32 * 1024 * 1024;
/** Headers that belong to one connection, or that would carry somebody else's credentials. */
const dropped =
  /^(host|connection|keep-alive|transfer-encoding|content-length|authorization|cookie|accept-encoding|proxy-.*|upgrade|te|trailer)$/;
const droppedOnReturn = /^(connection|keep-alive|transfer-encoding|content-length|content-encoding|set-cookie)$/;
/**
 * Host and path of a repository, and what git asks of it. Nothing in it may mean another place once it is an address:
 * no dots alone, nothing encoded, one question mark with one known question.
 */
const gitPaths =
  /^\/git\/([0-9a-f]{32})((?:\/(?!\.{1,2}\/)[A-Za-z0-9_.~:-]+)+\/(?:info\/refs\?service=git-(?:upload|receive)-pack|git-upload-pack|git-receive-pack))$/;
const modelPaths = /^\/llm\/([0-9a-f]{32})(\/v1\/(?:chat\/completions|models))$/;

/**
 * The loopback listener of the bridge: `/healthz`, the model relay and the git relay, nothing else.
 *
 * The harness holds no key: the relay adds the task token on the way out. Its address is no secret, because it
 * buys only what the running task may buy.
 */
export async function startRelay(parts: { serviceUrl: string; port: number; log: Log }): Promise<Relay> {
  const places = new Map<string, OpenPlace>();
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      parts.log('warn', 'a call could not be relayed', { error: String(error) });
      if (!response.headersSent) fail(response, 502, 'The service could not be reached.');
      else response.destroy();
    });
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const [, gitKey = '', gitRest = ''] = gitPaths.exec(request.url ?? '') ?? [];
    const gitPlace = places.get(gitKey);
    if (gitPlace) return passGit(gitPlace, gitRest, request, response);
    if (path === '/healthz') return void response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
    const [, key = '', rest = ''] = modelPaths.exec(path) ?? [];
    const place = places.get(key);
    if (!place) return fail(response, 404, 'There is nothing here, or the task has ended.');
    await relayCall(place, rest, request, response);
  }

  async function passGit(
    place: OpenPlace,
    rest: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const controller = new AbortController();
    place.open.add(controller);
    response.once('close', () => controller.abort());
    const { serviceUrl } = parts;
    try {
      await relayGit({ serviceUrl, taskToken: place.taskToken, rest, request, response, signal: controller.signal });
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      response.destroy();
    } finally {
      place.open.delete(controller);
    }
  }

  async function relayCall(
    place: OpenPlace,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const isCall = request.method === 'POST';
    if (isCall && place.calls >= place.callLimit) {
      place.onLimit();
      return fail(response, 403, 'The task has used up its model calls.');
    }
    if (isCall) place.calls += 1;
    const controller = new AbortController();
    place.open.add(controller);
    response.once('close', () => controller.abort());
    try {
      const body = isCall ? await readBody(request) : undefined;
      const answer = await fetch(`${parts.serviceUrl}/llm${path}`, {
        method: request.method ?? 'GET',
        headers: { ...kept(request), authorization: `Bearer ${place.taskToken}` },
        signal: controller.signal,
        redirect: 'error',
        ...(body === undefined ? {} : { body: body.toString('utf8') }),
      });
      answer.headers.forEach((value, name) => {
        if (!droppedOnReturn.test(name)) response.setHeader(name, value);
      });
      response.writeHead(answer.status);
      response.flushHeaders();
      await pour(answer, response);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      response.destroy();
    } finally {
      place.open.delete(controller);
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    open({ taskToken, callLimit, onLimit }) {
      const key = randomBytes(16).toString('hex');
      const place: OpenPlace = { taskToken, callLimit, onLimit, open: new Set(), calls: 0 };
      places.set(key, place);
      return {
        url: `http://127.0.0.1:${port}/llm/${key}/v1`,
        gitUrl: `http://127.0.0.1:${port}/git/${key}`,
        get calls() {
          return place.calls;
        },
        close: () => {
          places.delete(key);
          for (const controller of place.open) controller.abort();
          return [...place.open].filter((controller) => !controller.signal.aborted).length;
        },
      };
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const kept = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      dropped.test(name) || value === undefined ? [] : [[name, String(value)]],
    ),
  );

async function pour(answer: Response, response: ServerResponse): Promise<void> {
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  const hold = isStream ? makeToolCallHold() : null;
  try {
    if (answer.body) await pourBody(answer.body, response, hold);
  } catch (error) {
    // Broken after its finish: to the harness it is a whole answer, and asking again would run its tools twice.
    if (!hold?.isWhole()) throw error;
    response.end('data: [DONE]\n\n');
    return;
  }
  const last = hold ? hold.end() : '';
  if (last === null) response.destroy();
  else response.end(last);
}

async function pourBody(
  body: ReadableStream<Uint8Array>,
  response: ServerResponse,
  hold: ToolCallHold | null,
): Promise<void> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const piece = hold ? hold.take(decoder.decode(chunk.value, { stream: true })) : chunk.value;
    if (piece.length === 0 || response.write(piece) || response.destroyed) continue;
    await new Promise<void>((resolve) => {
      response.once('drain', resolve);
      response.once('close', resolve);
    });
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > maxBodyBytes) throw new Error('The request is larger than the relay carries.');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function fail(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { message, type: 'invalid_request', param: null, code: null } }));
}
