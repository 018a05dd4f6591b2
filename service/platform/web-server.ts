import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import helmet from 'helmet';
import { pinoHttp } from 'pino-http';
import { uuidv7, type Clock } from './clock.ts';
import { notFound, ServiceError } from './errors.ts';
import type { Flag } from './flags.ts';
import {
  asBodyFault,
  asServiceError,
  checkText,
  sendProblem,
  type Deprecated,
  type Guard,
  type Route,
} from './http.ts';
import type { Logger } from './logger.ts';
import { inSpan } from './tracing.ts';

/** Lets a request pass or throws; leaves who is calling on `response.locals`. */
export type GuardFunction = (request: Request, response: Response) => Promise<void>;

export interface WebParts {
  readonly routes: readonly (Route & { readonly rawBody?: true })[];
  readonly guards: Readonly<Record<Guard, GuardFunction>>;
  /** Throws where a flag is off for who calls. Left out, everything is on. */
  readonly mustBeOn?: (flag: Flag, response: Response) => void;
  readonly bodyLimitBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface WebServer {
  readonly server: Server;
  readonly routes: readonly Route[];
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  /** Takes no new connection, lets open requests finish for `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** Requests and headers must arrive within these; slow clients hold no place. */
const requestTimeoutMs = 120_000;

/** Serves routes: id, log line, guard, body, handler, and every error as a problem document. */
export function makeWebServer(parts: WebParts): WebServer {
  const server = createServer({ requestTimeout: requestTimeoutMs }, makeApp(parts) as never);
  // Not the server's own list: that one forgets a socket when its connection is upgraded.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return {
    server,
    routes: parts.routes,
    listen: (address) =>
      new Promise((resolve, reject) => {
        const refuse = (error: NodeJS.ErrnoException): void => reject(cannotListen(address, error));
        server.once('error', refuse);
        server.listen(address.port, address.host, () => {
          server.off('error', refuse);
          const bound = server.address() as AddressInfo;
          resolve({ host: bound.address, port: bound.port });
        });
      }),
    close: (graceMs) =>
      new Promise((resolve) => {
        if (!server.listening) return resolve();
        const cut = setTimeout(() => sockets.forEach((socket) => socket.destroy()), graceMs);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

const cannotListen = (address: { host: string; port: number }, error: NodeJS.ErrnoException): ServiceError =>
  new ServiceError(
    'unavailable',
    'address_unavailable',
    `Cannot listen on ${address.host}:${address.port} (${error.code ?? error.message}). ` +
      'End what uses it, or choose another address with OUTRIGGER_LISTEN.',
    { cause: error },
  );

function makeApp(parts: WebParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(identifyRequest(parts.clock));
  app.use(requestLog(parts.log));
  app.use(helmet());
  const json = readJson(parts.bodyLimitBytes);
  for (const route of parts.routes) {
    const guard = parts.guards[route.guard];
    app[route.method](
      route.path,
      ...(route.deprecated === undefined ? [] : [saysThatItGoes(route.deprecated)]),
      (request, response, next) => guard(request, response).then(() => next(), next),
      ...(route.flag === undefined ? [] : [whereOn(route.flag, parts.mustBeOn)]),
      ...(route.rawBody ? [] : [json]),
      (request, response, next) => traced(route, request, response, next),
    );
  }
  app.use((request, _response, next) => next(notFound(`${request.method} ${request.path}`)));
  app.use(answerError(parts.log));
  return app;
}

/**
 * Also on a refusal: whoever still calls should hear of it in time.
 *
 * Source: RFC 9745 (Deprecation, a structured date), RFC 8594 (Sunset, an HTTP date), RFC 5829 (successor-version).
 */
const saysThatItGoes =
  ({ since, sunset, instead }: Deprecated): RequestHandler =>
  (_request, response, next) => {
    response.setHeader('Deprecation', `@${Math.floor(since.getTime() / 1_000)}`);
    response.setHeader('Sunset', sunset.toUTCString());
    response.append('Link', `<${instead}>; rel="successor-version"`);
    next();
  };

/** A caller's `traceparent` is kept: its trace goes on in ours. */
function traced(route: Route, request: Request, response: Response, next: NextFunction): Promise<void> {
  const attributes = {
    'http.request.method': request.method,
    'http.route': route.path,
    'request.id': String(response.locals['requestId']),
  };
  const parent = request.get('traceparent') ?? null;
  return inSpan(`api ${request.method} ${route.path}`, { parent, attributes }, async (span) => {
    await route.handler(request, response, next);
    span?.setAttribute('http.response.status_code', response.statusCode);
  });
}

const whereOn =
  (flag: Flag, mustBeOn: WebParts['mustBeOn']): RequestHandler =>
  (_request, response, next) => {
    mustBeOn?.(flag, response);
    next();
  };

/** Parses a JSON body and refuses, in it, in the query and in the path, what no room could store. */
function readJson(limit: number): RequestHandler {
  const parse = express.json({ limit, strict: true });
  return (request, response, next) =>
    parse(request, response, (error?: unknown) => {
      if (error !== undefined) return next(asBodyFault(error));
      try {
        for (const part of [request.body, request.query, request.params]) checkText(part);
      } catch (fault) {
        // Thrown from here it would reach nobody: the parser calls back from an event of the socket.
        return next(fault);
      }
      next();
    });
}

const identifyRequest = (clock: Clock) => (request: Request, response: Response, next: NextFunction) => {
  const given = request.get('X-Request-Id');
  const id = given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : uuidv7(clock);
  response.locals['requestId'] = id;
  response.setHeader('X-Request-Id', id);
  next();
};

/** One line per request: no query, no headers, no body. */
const requestLog = (log: Logger) =>
  pinoHttp<Request, Response>({
    logger: log,
    quietReqLogger: true,
    genReqId: (_request, response) => String(response.locals['requestId']),
    serializers: {
      req: (request: { method: string; url: string }) => ({ method: request.method, path: request.url.split('?')[0] }),
      res: (response: { statusCode: number }) => ({ status: response.statusCode }),
      err: () => undefined,
    },
    customLogLevel: (request, response) =>
      request.path === '/healthz' || request.path === '/readyz'
        ? 'trace'
        : response.statusCode >= 500
          ? 'warn'
          : 'debug',
    customSuccessMessage: () => 'request served',
    customErrorMessage: () => 'request failed',
  });

const answerError =
  (log: Logger) =>
  (error: unknown, _request: Request, response: Response, _next: NextFunction): void => {
    const known = asServiceError(error);
    if (known.kind === 'internal')
      log.error({ error: known.cause ?? known, requestId: response.locals['requestId'] }, 'request broke');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendProblem(response, known);
  };
