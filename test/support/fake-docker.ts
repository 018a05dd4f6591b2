import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { makePair } from './fake-cluster.ts';

/**
 * As much of Docker's Engine API as running a container needs, over TLS with client certificates: images by name,
 * create, start, inspect, log, stop, remove, list, pull. What a container does, its command says: `echo WORDS` writes
 * them, `fail CODE WORDS` ends with the code, `sleep` runs until it is stopped, `none` cannot start.
 *
 * Source: answers of Docker 20.10 (API 1.41)
 */
export interface FakeDocker {
  /** For `DOCKER_HOST_CONFIG`. */
  readonly config: string;
  readonly key: string;
  /** By name, as they were asked for. */
  readonly containers: ReadonlyMap<string, FakeContainer>;
  /** How often a container was made. */
  readonly made: number;
  /** `METHOD /path` of every call. */
  readonly calls: readonly string[];
  /** Makes the next calls that match fail once each. */
  breakOnce(call: RegExp, status: number): void;
  close(): Promise<void>;
}

export interface FakeContainer {
  readonly body: Readonly<Record<string, unknown>>;
  status: 'created' | 'running' | 'exited';
  exitCode: number;
  createdAt: Date;
  finishedAt: Date;
  log: Buffer;
}

type Answer = readonly [status: number, body?: unknown];
export interface FakeImage {
  readonly id: string;
  readonly user?: string;
  readonly volumes?: readonly string[];
}

const never = new Date('0001-01-01T00:00:00Z');

/** `images` are on the daemon by their whole names; `registry` are those that a pull finds. */
export async function startFakeDocker(
  images: Readonly<Record<string, FakeImage>>,
  registry: Readonly<Record<string, FakeImage>> = {},
): Promise<FakeDocker> {
  const pair = makePair();
  const there = new Map(Object.entries(images));
  const containers = new Map<string, FakeContainer>();
  const calls: string[] = [];
  const broken: { readonly call: RegExp; readonly status: number }[] = [];
  let made = 0;

  const byName = (name: string): FakeContainer | undefined => containers.get(name.replace(/^id-/, ''));

  function create(name: string, text: string): Answer {
    if (containers.has(name)) return [409, { message: `Conflict. The container name "/${name}" is already in use` }];
    const body = JSON.parse(text) as Record<string, unknown>;
    if (![...there.values()].some(({ id }) => id === body['Image'])) return [404, { message: 'No such image' }];
    made += 1;
    const createdAt = new Date();
    containers.set(name, { body, status: 'created', exitCode: 0, createdAt, finishedAt: never, log: Buffer.alloc(0) });
    return [201, { Id: `id-${name}`, Warnings: [] }];
  }

  function start(container: FakeContainer): Answer {
    if (container.status === 'running') return [304];
    const [word, ...words] = (container.body['Cmd'] ?? []) as string[];
    if (word === 'none') return [400, { message: 'OCI runtime create failed: executable file not found in $PATH' }];
    container.status = 'running';
    if (word === 'sleep') return [204];
    end(container, word === 'fail' ? Number(words.shift()) : 0);
    container.log = framed(`${words.join(' ')}\n`);
    return [204];
  }

  function end(container: FakeContainer, exitCode: number): void {
    Object.assign(container, { status: 'exited', exitCode, finishedAt: new Date() });
  }

  function inspect(name: string, { body, status, exitCode, finishedAt }: FakeContainer): Answer {
    const { HostConfig, ...Config } = body;
    const State = { Status: status, ExitCode: exitCode, OOMKilled: false, StartedAt: never, FinishedAt: finishedAt };
    return [200, { Id: `id-${name}`, Name: `/${name}`, State, Config, HostConfig }];
  }

  function ofContainer(method: string, name: string, what: string): Answer {
    const container = byName(name);
    if (!container) return [404, { message: `No such container: ${name}` }];
    if (method === 'DELETE') return [containers.delete(name.replace(/^id-/, '')) ? 204 : 404];
    if (what === 'json') return inspect(name.replace(/^id-/, ''), container);
    if (what === 'logs') return [200, container.log];
    if (what === 'start') return start(container);
    if (container.status !== 'running') return [304];
    end(container, 137);
    return [204];
  }

  function list(filters: string): Answer {
    const [key, value] = ((JSON.parse(filters) as { label: string[] }).label[0] ?? '').split('=');
    const found = [...containers].filter(
      ([, { body }]) => (body['Labels'] as Record<string, string>)[key ?? ''] === value,
    );
    return [
      200,
      found.map(([name, { createdAt }]) => ({ Id: `id-${name}`, Created: Math.floor(createdAt.getTime() / 1_000) })),
    ];
  }

  function pull(name: string): Answer {
    const found = registry[name];
    if (!found) return [200, Buffer.from('{"status":"Pulling"}\r\n{"error":"manifest unknown"}\r\n')];
    there.set(name, found);
    return [200, Buffer.from('{"status":"Downloaded"}\r\n')];
  }

  function showImage(name: string): Answer {
    const image = there.get(name);
    if (!image) return [404, { message: `No such image: ${name}` }];
    const volumes = Object.fromEntries((image.volumes ?? []).map((path) => [path, {}]));
    return [200, { Id: image.id, Config: { User: image.user ?? '', Volumes: volumes } }];
  }

  function answer(method: string, url: URL, body: string): Answer {
    const path = url.pathname.replace(/^\/v1\.41/, '');
    calls.push(`${method} ${path}`);
    const fault = broken.findIndex(({ call }) => call.test(`${method} ${path}`));
    if (fault >= 0) return [broken.splice(fault, 1)[0]?.status ?? 500, { message: 'broken' }];
    const image = /^\/images\/(.+)\/json$/.exec(path)?.[1];
    if (image !== undefined) return showImage(image);
    if (path === '/images/create') return pull(url.searchParams.get('fromImage') ?? '');
    if (path === '/containers/create') return create(url.searchParams.get('name') ?? '', body);
    if (path === '/containers/json') return list(url.searchParams.get('filters') ?? '{}');
    const [, name, what = ''] = /^\/containers\/([^/]+)(?:\/(json|logs|start|stop))?$/.exec(path) ?? [];
    return name === undefined ? [404, { message: 'page not found' }] : ofContainer(method, name, what);
  }

  const server = createServer(
    { ...pair, ca: pair.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const url = new URL(request.url ?? '/', 'https://docker');
        const [status, body] = answer(request.method ?? '', url, Buffer.concat(pieces).toString());
        response.writeHead(status).end(body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const [cert, key] = [pair.cert.toString(), pair.key.toString()];
  return {
    config: JSON.stringify({
      host: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ca: cert,
      cert,
      key,
    }),
    key,
    containers,
    calls,
    get made() {
      return made;
    },
    breakOnce: (call, status) => void broken.push({ call, status }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** As a log without a terminal comes: stdout, in frames. */
export function framed(text: string, stream = 1): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  const body = Buffer.from(text);
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}
