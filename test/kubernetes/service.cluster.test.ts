import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { serviceSecrets, variableOf } from '../../modules/service/service-secrets.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { inSynthesized, onStack } from '../support/terraform/deployable.ts';
import { manifestsOf, type Manifest } from '../support/terraform/planned-kubernetes.ts';
import { apply, kubeconfig, kubectl, until } from './cluster.ts';

/**
 * What the stack kubernetes-service plans, on a real cluster: scripts/test-kubernetes.sh gives it.
 *
 * Stand-ins: the image goes by the name under which it was loaded, and the Secret, which no plan holds, is made from the
 * same files. The cluster's network plugin may store a NetworkPolicy without enforcing it.
 */
const image = process.env.OUTRIGGER_SERVICE_IMAGE;
/** An address of this machine that pods reach: the tests' own Postgres is behind it. */
const host = process.env.OUTRIGGER_TEST_HOST;
const withService = kubeconfig === undefined || image === undefined ? describe.skip : describe;
const withDatabase = kubeconfig === undefined || image === undefined || host === undefined ? describe.skip : describe;

const directory = mkdtempSync(join(tmpdir(), 'outrigger-cluster-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Secret files of these contents, as the variables that name them. */
function files(contents: Readonly<Record<string, string>>): Record<string, string> {
  const given = serviceSecrets.filter(({ file }) => contents[file] !== undefined);
  return Object.fromEntries(
    given.map((secret) => {
      const path = join(mkdtempSync(join(directory, 'secret-')), secret.file);
      writeFileSync(path, contents[secret.file] ?? '');
      return [variableOf(secret), path];
    }),
  );
}

/** Plans the stack and applies what is planned; answers the manifests. */
async function deploy(namespace: string, given: Readonly<Record<string, unknown>>): Promise<readonly Manifest[]> {
  const values = {
    namespace,
    service_image: `registry.example.com/outrigger-service:1@sha256:${'a'.repeat(64)}`,
    coder_url: 'https://coder.example.com',
    outrigger_url: 'https://outrigger.example.com',
    ingress_host: 'outrigger.example.com',
    ingress_tls_secret: 'outrigger-tls',
    client_namespaces: ['coder-workspaces'],
    resource_quota: { 'limits.memory': '4Gi' },
    data_gb: 1,
    memory_mb: 768,
    cpu_request: '50m',
    ...given,
  };
  const plan = await inSynthesized({ OUTRIGGER_STACKS: 'kubernetes-service' }, (folder) =>
    onStack(folder, 'kubernetes-service', values, (bench) => bench.plan()),
  );
  const manifests = manifestsOf(plan).map(withImage);
  const kinds = ['Namespace', 'Secret'];
  const rank = ({ kind }: Manifest) => (kinds.includes(kind) ? kinds.indexOf(kind) : kinds.length);
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'outrigger', namespace }, stringData: {} };
  for (const { file, ...one } of serviceSecrets) {
    const path = (values as Record<string, unknown>)[variableOf({ file, ...one })];
    if (typeof path === 'string') Object.assign(secret.stringData, { [file]: readFileSync(path, 'utf8') });
  }
  await apply([...manifests, secret].sort((one, other) => rank(one) - rank(other)));
  return manifests;
}

function withImage(manifest: Manifest): Manifest {
  const made = structuredClone(manifest) as Manifest & {
    spec?: { template?: { spec: { containers: { image: string }[] } } };
  };
  for (const container of made.spec?.template?.spec.containers ?? []) container.image = image ?? '';
  return made;
}

const selector = 'app.kubernetes.io/name=outrigger';
interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
  readonly spec: { readonly containers: readonly Readonly<Record<string, unknown>>[] };
}

/** What is done and seen in one namespace. */
function inNamespace(namespace: string) {
  const run = async (...argv: string[]) => await kubectl(['-n', namespace, ...argv]);
  const get = async (...what: string[]): Promise<unknown> => JSON.parse(await run('get', ...what, '-o', 'json'));
  const pods = async (): Promise<readonly Pod[]> => ((await get('pods', '-l', selector)) as { items: Pod[] }).items;
  const isReady = ({ metadata, status }: Pod): boolean =>
    metadata.deletionTimestamp === undefined &&
    (status.conditions ?? []).some((one) => one.type === 'Ready' && one.status === 'True');
  return {
    run,
    get,
    /** Waits for this many pods that serve, none of them among `not`. */
    async ready(count: number, not: readonly string[] = []): Promise<readonly Pod[]> {
      const found = async () => (await pods()).filter((pod) => isReady(pod) && !not.includes(pod.metadata.uid));
      await until(async () => String((await found()).length), new RegExp(`^${count}$`));
      return await found();
    },
    exec: async (pod: Pod, ...argv: string[]) => await run('exec', pod.metadata.name, '--', ...argv),
    /** As `kubectl drain` asks, so that a PodDisruptionBudget counts. */
    async evict({ metadata: { name } }: Pod): Promise<string> {
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } };
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`;
      return await kubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction));
    },
    /** What the service answers to this path, asked through the cluster's API. */
    ask: async ({ metadata: { name } }: Pod, path: string) =>
      await kubectl(['get', '--raw', `/api/v1/namespaces/${namespace}/pods/http:${name}:7676/proxy${path}`]),
    remove: async () => await kubectl(['delete', 'namespace', namespace, '--wait', '--timeout=120s']),
  };
}

const keyHash = [
  'node',
  '-e',
  `process.stdout.write(require('crypto').createHash('sha256').update(require('fs').readFileSync('/var/lib/outrigger/data/keys/audit-signing-key')).digest('hex'))`,
];

withService('S-16 kubernetes-service with its own Postgres on a cluster', () => {
  const namespace = `outrigger-service-${process.pid}`;
  const cluster = inNamespace(namespace);
  const token = `canary-${randomBytes(16).toString('hex')}`;
  let manifests: readonly Manifest[] = [];

  beforeAll(async () => {
    manifests = await deploy(namespace, files({ 'coder-token': token }));
  });
  afterAll(async () => {
    await cluster.remove();
    // A volume goes a moment after the claim that it was made for.
    const volumes = () => kubectl(['get', 'pv', '-o', 'jsonpath=of {.items[*].spec.claimRef.namespace}']);
    await until(volumes, new RegExp(`^of (?!.*${namespace})`));
  });

  it('is admitted where Pod Security restricted is enforced, and serves with its database on the claim', async () => {
    const [pod] = await cluster.ready(1);

    const made = (await cluster.get('namespace', namespace)) as Pod & { metadata: { labels: object } };
    expect(made.metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(await cluster.ask(pod as Pod, '/readyz')).toContain('"status"');
    expect(await cluster.exec(pod as Pod, 'id')).toMatch(/^uid=1000\S* gid=0\S* groups=0\S*,1000/);
    expect(await cluster.run('get', 'pvc', 'data-outrigger-0', '-o', 'jsonpath={.status.phase}')).toBe('Bound');
  }, 300_000);

  it('holds its secret in a file, and in no environment, log or object but the Secret', async () => {
    const [pod] = await cluster.ready(1);

    expect(await cluster.exec(pod as Pod, 'cat', '/run/secrets/coder-token')).toBe(token);
    expect(await cluster.exec(pod as Pod, 'env')).not.toContain(token);
    expect(await cluster.run('logs', (pod as Pod).metadata.name)).not.toContain(token);
    expect(await cluster.run('get', 'all,events,networkpolicies,ingresses', '-o', 'yaml')).not.toContain(token);
  }, 300_000);

  it('is asked by the probes that were planned', async () => {
    const [pod] = await cluster.ready(1);

    expect(pod?.spec.containers[0]).toMatchObject({
      startupProbe: { httpGet: { path: '/healthz', port: 'http' } },
      livenessProbe: { httpGet: { path: '/healthz', port: 'http' } },
      readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
    });
  }, 300_000);

  it('keeps its keys and its database when a drain takes its pod', async () => {
    const [before] = await cluster.ready(1);
    const key = await cluster.exec(before as Pod, ...keyHash);
    await cluster.evict(before as Pod);
    const [after] = await cluster.ready(1, [before?.metadata.uid ?? '']);

    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await cluster.exec(after as Pod, ...keyHash)).toBe(key);
    expect(await cluster.ask(after as Pod, '/readyz')).toContain('"status"');
  }, 400_000);

  it('starts again in its pod when its process ends', async () => {
    const [pod] = await cluster.ready(1);
    await cluster.exec(pod as Pod, 'node', '-e', 'process.kill(1, "SIGTERM")');
    const restarts = () =>
      cluster.run('get', 'pods', '-l', selector, '-o', 'jsonpath={.items[0].status.containerStatuses[0].restartCount}');
    await until(restarts, /^1$/);

    expect((await cluster.ready(1)).map(({ metadata }) => metadata.uid)).toEqual([pod?.metadata.uid]);
  }, 400_000);

  it('has a policy that lets in its clients and lets out where the service calls, as planned', async () => {
    const { spec } = (await cluster.get('networkpolicy', 'outrigger')) as { spec: object };

    expect(spec).toMatchObject({
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'outrigger' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          ports: [{ port: 'http', protocol: 'TCP' }],
          from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'coder-workspaces' } } }],
        },
      ],
    });
    expect(JSON.stringify(spec)).toContain('"except":["169.254.0.0/16"]');
    expect(manifests.map(({ kind }) => kind).sort()).toEqual([
      'Ingress',
      'Namespace',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'ResourceQuota',
      'Service',
      'StatefulSet',
    ]);
  });
});

withDatabase('S-16 kubernetes-service with replicas that share a database', () => {
  const namespace = `outrigger-replicas-${process.pid}`;
  const cluster = inNamespace(namespace);
  let database: TestDatabase | undefined;
  let door: Server | undefined;

  beforeAll(async () => {
    database = await createTestDatabase();
    const inside = new URL(database.url);
    door = createServer((from) => {
      const to = connect(Number(inside.port), inside.hostname);
      from.on('error', () => to.destroy()).pipe(to);
      to.on('error', () => from.destroy()).pipe(from);
    });
    await new Promise<void>((resolve) => void door?.listen(0, host, resolve));
    const { port } = door.address() as AddressInfo;
    const outside = new URL(database.url);
    outside.host = `${host ?? ''}:${String(port)}`;
    const key = () => randomBytes(32).toString('base64');
    const secrets = {
      'coder-token': 'a token of a Coder that is not there',
      'database-url': outside.href,
      keyring: JSON.stringify({ 1: key() }),
      'audit-signing-key': key(),
    };
    await deploy(namespace, { ...files(secrets), replicas: 2, egress_ports: [443, port] });
  });
  afterAll(async () => {
    await cluster.remove();
    door?.close();
    await database?.drop();
  });

  it('serve both, and run no database of their own', async () => {
    for (const pod of await cluster.ready(2)) {
      expect(await cluster.ask(pod, '/readyz')).toContain('"status"');
      const processes = await cluster.exec(pod, 'sh', '-c', 'cat /proc/[0-9]*/comm');
      expect(processes).toContain('node');
      expect(processes).not.toContain('postgres');
    }
  }, 300_000);

  it('go one after the other when their node is drained, and are replaced', async () => {
    const before = await cluster.ready(2);
    const [first, second] = before as [Pod, Pod];
    await cluster.evict(first);

    await expect(cluster.evict(second)).rejects.toThrow("would violate the pod's disruption budget");
    await until(() => cluster.evict(second), /Success/);
    expect(
      await cluster.ready(
        2,
        before.map(({ metadata }) => metadata.uid),
      ),
    ).toHaveLength(2);
  }, 600_000);
});
