import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { ok, refuse, type Answer } from './answers.ts';
import { authenticate, crossSite } from './authenticate.ts';
import { Refused, type SimulatedRoute } from './handler.ts';
import { makeRateLimit } from './rate-limit.ts';
import type { Caller } from './rights.ts';
import { authCheckRoute } from './route-authcheck.ts';
import { createWorkspaceRoute } from './route-create-workspace.ts';
import { templateRoutes } from './routes-templates.ts';
import { userRoutes } from './routes-users.ts';
import { versionRoutes } from './routes-versions.ts';
import { workspaceRoutes } from './routes-workspaces.ts';
import type { World } from './world.ts';

/** One request as it came in. `token` is its name (`alice`, `alice:rec-scoped`), null when it had none that counts. */
export interface RecordedCall {
  readonly method: string;
  /** Path with its query. */
  readonly path: string;
  /** `GET /api/v2/workspaces/{workspace}`, or null for a route that does not exist here. */
  readonly route: string | null;
  readonly token: string | null;
  readonly status: number;
}

/** What a test has a route do instead of its work. */
export type Fault = { readonly answer: Answer; left: number } | 'stall';

export interface Switchboard {
  readonly world: World;
  readonly faults: Map<string, Fault>;
  readonly calls: RecordedCall[];
  readonly requestsPerMinute: number;
}

/** Every route that is simulated, `buildinfo` beside them. */
export const simulatedRoutes: readonly SimulatedRoute[] = [
  ...userRoutes,
  ...workspaceRoutes,
  createWorkspaceRoute,
  authCheckRoute,
  ...templateRoutes,
  ...versionRoutes,
];
const buildInfoPath = '/api/v2/buildinfo';
const filesPerMinute = 12;

const matchers = [{ method: 'GET' as const, path: buildInfoPath, handle: null }, ...simulatedRoutes].map((route) => ({
  ...route,
  name: `${route.method} ${route.path}`,
  pattern: new RegExp(`^${route.path.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
}));

export function makeHttpServer(switchboard: Switchboard): Server {
  const limit = makeRateLimit(switchboard.world.now);
  return createServer((request, response) => {
    void serve(switchboard, limit, request, response);
  });
}

type Matched = (typeof matchers)[number];
type Limit = ReturnType<typeof makeRateLimit>;

/** A request with its body read and its path cleaned, as Coder's router cleans it. */
interface Incoming {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

async function serve(
  switchboard: Switchboard,
  limit: Limit,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const bytes = await bodyOf(request);
  if (bytes === null) return;
  const url = new URL(`http://coder${(request.url ?? '/').replace(/^\/+/, '/')}`);
  const path = url.pathname.replaceAll(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
  const { headers, method = 'GET' } = request;
  const incoming = { method, path, query: url.searchParams, headers, bytes };
  const onPath = matchers.filter((one) => one.pattern.test(path));
  const route = onPath.find((one) => one.method === method);
  const token = nameOfToken(switchboard.world, incoming);
  const fault = route && takeFault(switchboard, route.name);
  const answer = fault ?? (route ? answerRoute(switchboard, limit, route, incoming) : noRoute(onPath));
  const status = answer === 'stall' ? 0 : answer.status;
  switchboard.calls.push({ method, path: request.url ?? '', route: route?.name ?? null, token, status });
  if (answer !== 'stall') send(response, answer);
}

const noRoute = (onPath: readonly Matched[]): Answer =>
  onPath.length === 0
    ? refuse(404, 'Route not found.')
    : { status: 405, headers: { Allow: onPath.map((one) => one.method).join(', ') } };

function takeFault({ faults }: Switchboard, route: string): Answer | 'stall' | undefined {
  const fault = faults.get(route);
  if (fault === undefined || fault === 'stall') return fault;
  fault.left -= 1;
  if (fault.left <= 0) faults.delete(route);
  return fault.answer;
}

function answerRoute(
  { world, requestsPerMinute }: Switchboard,
  limit: Limit,
  route: Matched,
  incoming: Incoming,
): Answer {
  const { method, path, query, headers, bytes } = incoming;
  const forged = crossSite(method, headers, query);
  if (forged) return forged;
  try {
    const caller = route.handle ? authenticate(world, headers, query) : null;
    const bypass = bypassOf(headers, caller);
    const most = /^\/api\/v2\/files(\/|$)/.test(path) ? filesPerMinute : requestsPerMinute;
    const allowance = bypass ? unlimited : limit(caller?.user.id ?? 'nobody', path, most);
    if (allowance.refused) return withHeaders(allowance.refused, allowance.headers);
    const asked = {
      world,
      path: pathParameters(route, path),
      query,
      contentType: headers['content-type'] ?? '',
      bytes,
    };
    const answer = route.handle && caller ? route.handle({ ...asked, caller }) : ok(buildInfo(world));
    return withHeaders(answer, allowance.headers);
  } catch (error) {
    if (error instanceof Refused) return error.answer;
    return refuse(500, 'An internal server error occurred.', `the simulation broke: ${String(error)}`);
  }
}

const unlimited = { headers: {}, refused: null };

function pathParameters(route: Matched, path: string): Readonly<Record<string, string>> {
  const found = Object.entries(route.pattern.exec(path)?.groups ?? {});
  return Object.fromEntries(found.map(([name, value]) => [name, decodeURIComponent(value)]));
}

/** A site owner may skip the rate limit; anybody else who tries is refused. */
function bypassOf(headers: IncomingHttpHeaders, caller: Caller | null): boolean {
  if (headers['x-coder-bypass-ratelimit'] !== 'true') return false;
  if (caller?.user.roles.includes('owner')) return true;
  throw new Refused({ status: 428, text: '"X-Coder-Bypass-Ratelimit" provided but user is not owner\n' });
}

const withHeaders = (answer: Answer, headers: Readonly<Record<string, string>>): Answer => ({
  ...answer,
  headers: { ...headers, ...answer.headers },
});

function nameOfToken(world: World, { headers, query }: Incoming): string | null {
  try {
    return authenticate(world, headers, query).token.name;
  } catch {
    return null;
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } catch {
    // The client went away in the middle of its request.
    return null;
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const text = answer.bytes ?? answer.text ?? (answer.body === undefined ? '' : `${JSON.stringify(answer.body)}\n`);
  const type = answer.text === undefined ? 'application/json; charset=utf-8' : 'text/plain; charset=utf-8';
  response.writeHead(answer.status, {
    ...(text.length === 0 ? {} : { 'Content-Type': type }),
    'X-Coder-Build-Version': 'v0.0.0-devel',
    'X-Coder-Request-Id': randomUUID(),
    ...(answer.status === 401
      ? {
          'WWW-Authenticate':
            'Bearer realm="coder", error="invalid_token", error_description="The access token has expired"',
        }
      : {}),
    ...answer.headers,
  });
  response.end(text);
}

const buildInfo = (world: World) => ({
  external_url: 'https://github.com/coder/coder',
  version: 'v0.0.0-devel',
  dashboard_url: world.url(),
  telemetry: false,
  workspace_proxy: false,
  agent_api_version: '1.0',
  provisioner_api_version: '1.18',
  upgrade_message: '',
  deployment_id: world.organization.id,
  webpush_public_key: '',
});
