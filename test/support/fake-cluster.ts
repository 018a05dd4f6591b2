import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';

/**
 * As much of a cluster's API as applying a manifest needs, over TLS: discovery, read, server-side apply with its dry
 * run, delete. It keeps objects by kind and name and checks none of their fields.
 */
export interface FakeCluster {
  /** Of a user who may do everything in `namespace`. */
  readonly kubeconfig: string;
  readonly token: string;
  /** What is stored, by `Kind/name`. */
  readonly objects: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

const kinds: Readonly<Record<string, readonly { readonly name: string; readonly kind: string }[]>> = {
  '/api/v1': [
    { name: 'configmaps', kind: 'ConfigMap' },
    { name: 'services', kind: 'Service' },
  ],
  '/apis/apps/v1': [{ name: 'deployments', kind: 'Deployment' }],
};

interface Stored {
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export async function startFakeCluster(namespace: string): Promise<FakeCluster> {
  const token = 'canary-cluster-token';
  const pair = makePair();
  const stored = new Map<string, Stored>();
  let version = 0;

  function apply(key: string, text: string, isDry: boolean): Stored {
    const known = stored.get(key);
    if (known?.text === text) return known;
    version += 1;
    const { metadata, ...rest } = JSON.parse(text) as { metadata: object };
    const managedFields = [{ manager: 'outrigger', operation: 'Apply' }];
    const seen = { ...metadata, uid: `uid-${key}`, generation: 1, resourceVersion: String(version), managedFields };
    const object = { text, body: { ...rest, metadata: seen } };
    if (!isDry) stored.set(key, object);
    return object;
  }

  function answer(method: string, url: URL, body: string): readonly [number, unknown] {
    const resources = kinds[url.pathname]?.map((one) => ({ ...one, namespaced: true }));
    if (resources) return [200, { resources }];
    const [, base = '', where, plural, name] = /^(.*)\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(url.pathname) ?? [];
    const kind = kinds[base]?.find((one) => one.name === plural)?.kind;
    if (kind === undefined || where !== namespace) return [403, { message: `no rights at ${url.pathname}` }];
    const key = `${kind}/${name}`;
    const known = stored.get(key);
    if (method === 'PATCH') return [known ? 200 : 201, apply(key, body, url.searchParams.get('dryRun') === 'All').body];
    if (!known) return [404, { message: `${key} not found` }];
    if (method === 'DELETE') stored.delete(key);
    return [200, known.body];
  }

  const server = createServer(pair, (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const isKnown = request.headers.authorization === `Bearer ${token}`;
      const url = new URL(request.url ?? '/', 'https://cluster');
      const [status, body] = isKnown
        ? answer(request.method ?? '', url, Buffer.concat(pieces).toString())
        : [401, { message: 'who are you' }];
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    token,
    kubeconfig: stringify({
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'fake', user: 'me', namespace } }],
      clusters: [
        { name: 'fake', cluster: { server: url, 'certificate-authority-data': pair.cert.toString('base64') } },
      ],
      users: [{ name: 'me', user: { token } }],
    }),
    get objects() {
      return new Map([...stored].map(([key, { body }]) => [key, body]));
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A certificate of its own making, for this machine. */
export function makePair(): { readonly key: Buffer; readonly cert: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-pair-'));
  const [key, cert] = [join(directory, 'pair.key'), join(directory, 'pair.crt')];
  const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test'.split(' ');
  try {
    execFileSync('openssl', [...words, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
