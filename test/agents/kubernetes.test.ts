import { describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { makeKubernetesAgent } from '../../service/agents/kubernetes/kubernetes-agent.ts';
import type { Cluster, ClusterCall } from '../../service/agents/kubernetes/cluster.ts';
import { readKubeconfig } from '../../service/agents/kubernetes/kubeconfig.ts';
import { usualKinds } from '../../service/agents/kubernetes/kinds.ts';
import { taskOf } from '../support/agent-task.ts';
import { readManifest } from '../../service/agents/kubernetes/manifest.ts';
import { AgentFailure } from '../../service/agents/agent-failure.ts';

const kinds = Object.keys(usualKinds);
const bounds = { namespaces: ['team'], kinds };
const configMap = (name: string, more = {}) =>
  stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: '1' }, ...more });
const canary = Buffer.from('canary-secret').toString('base64');
const kubeconfig = (change: { cluster?: object; user?: object } = {}) =>
  stringify({
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'lab', user: 'me', namespace: 'team' } }],
    clusters: [
      {
        name: 'lab',
        cluster: { server: 'https://127.0.0.1:6443', 'certificate-authority-data': canary, ...change.cluster },
      },
    ],
    users: [{ name: 'me', user: change.user ?? { token: 'canary-secret' } }],
  });

const failureOf = async (work: () => unknown): Promise<AgentFailure> => {
  try {
    await work();
  } catch (error) {
    if (error instanceof AgentFailure) return error;
    throw error;
  }
  throw new Error('it did not fail');
};

describe('a kubeconfig', () => {
  it('is read by its current context, with a token or a client certificate', () => {
    expect(readKubeconfig(kubeconfig())).toMatchObject({
      namespace: 'team',
      token: 'canary-secret',
      certificate: null,
    });
    // As a file gives it.
    expect(readKubeconfig(kubeconfig({ user: { token: ' canary-secret\n' } })).token).toBe('canary-secret');
    const user = { 'client-certificate-data': canary, 'client-key-data': canary };
    expect(readKubeconfig(kubeconfig({ user })).certificate?.key.toString()).toBe('canary-secret');
  });

  it.each([
    ['starts a program', { user: { exec: { command: 'sh', args: ['canary-secret'] } } }],
    ['names a file of the service', { user: { tokenFile: '/etc/canary-secret' } }],
    ['names a file as CA', { cluster: { 'certificate-authority': '/etc/canary-secret' } }],
    ['does not verify', { cluster: { 'insecure-skip-tls-verify': true } }],
    ['speaks plain http', { cluster: { server: 'http://canary-secret' } }],
    ['goes through a proxy', { cluster: { 'proxy-url': 'http://canary-secret' } }],
    ['has no user', { user: {} }],
    ['has a token of two lines', { user: { token: 'canary-secret\r\nX: y' } }],
  ])('is refused where it %s, and none of it is repeated', async (_title, change) => {
    const failure = await failureOf(() => readKubeconfig(kubeconfig(change)));

    expect(failure.reason).toBe('ContextError');
    expect(failure.message).not.toContain('canary');
  });
});

describe('a manifest', () => {
  it('is read document by document, and gets the namespace it does not name', () => {
    const objects = readManifest(`${configMap('one')}---\n${configMap('two')}---\n`, 'team', bounds);

    expect(objects.map(({ metadata }) => metadata)).toEqual([
      { name: 'one', namespace: 'team' },
      { name: 'two', namespace: 'team' },
    ]);
  });

  it.each([
    ['a kind that is not on the list', configMap('a', { kind: 'Secret' }), /kind 'Secret' is not allowed/],
    [
      'a namespace that is not on the list',
      configMap('a', { metadata: { name: 'a', namespace: 'x' } }),
      /namespace 'x'/,
    ],
    ['no object', '---\n', /no object/],
    ['no name', configMap('a', { metadata: {} }), /lacks metadata.name/],
    ['a path as name', configMap('../../secrets/x'), /lacks metadata.name/],
    ['a path as version', configMap('a', { apiVersion: '../v1' }), /lacks apiVersion/],
    ['no YAML', 'a: [', /not YAML/],
    ['an alias', 'a: &x 1\nb: *x', /alias/],
  ])('with %s is refused', async (_title, text, words) => {
    expect((await failureOf(() => readManifest(text, 'team', bounds))).message).toMatch(words);
  });
});

/** As much of the API as config maps need; `refuse` is what admission says no to, and `theirs` is another manager's. */
function makeFakeCluster(refuse: (name: string) => boolean = () => false, theirs: readonly string[] = []) {
  const calls: ClusterCall[] = [];
  const stored = new Map<string, { text: string; version: number }>();
  let version = 0;
  const cluster: Cluster = {
    call: (call) => {
      calls.push(call);
      const { method, path, body } = call;
      const name = path.split('/').at(-1)?.split('?')[0] ?? '';
      const answer = (status: number, value: object) => Promise.resolve({ status, body: value as never });
      if (path === '/api/v1')
        return answer(200, { resources: [{ name: 'configmaps', kind: 'ConfigMap', namespaced: true }] });
      const known = stored.get(name);
      const managedFields = [{ manager: theirs.includes(name) ? 'argocd' : 'outrigger', operation: 'Apply' }];
      const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': 'canary-secret', team: 'a' };
      const resourceVersion = String(known?.version ?? 0);
      const show = { metadata: { name, uid: `uid-of-${name}`, resourceVersion, managedFields, annotations } };
      if (method === 'GET' && theirs.includes(name)) return answer(200, show);
      if (method === 'GET') return known ? answer(200, show) : answer(404, { message: 'not found' });
      if (method === 'DELETE') return stored.delete(name) ? answer(200, {}) : answer(404, {});
      if (theirs.includes(name)) return answer(409, { message: 'conflict with "argocd": .data.a' });
      if (refuse(name)) return answer(403, { message: `admission says no to ${name}` });
      const text = JSON.stringify(body);
      if (!path.includes('dryRun=All') && known?.text !== text) stored.set(name, { text, version: (version += 1) });
      return answer(known ? 200 : 201, { metadata: { resourceVersion: String(stored.get(name)?.version) } });
    },
  };
  return { cluster, calls, stored };
}

describe('the kubernetes agent', () => {
  const agentOn = (cluster: Cluster, config: string | null = kubeconfig()) =>
    makeKubernetesAgent({
      kubeconfigOf: () => Promise.resolve(config),
      connect: () => cluster,
      bounds,
      files: { list: () => Promise.resolve([]), read: () => Promise.reject(new Error('no file')) },
      lookEveryMs: 1,
    });
  const execute = (cluster: Cluster, action: string, params: unknown, config: string | null = kubeconfig()) =>
    agentOn(cluster, config).execute(taskOf('kubernetes', action, params), { signal: new AbortController().signal });
  const manifest = `${configMap('one')}---\n${configMap('two')}`;

  it('has the cluster check all of a manifest before it applies any of it', async () => {
    const { cluster, calls } = makeFakeCluster();
    const { objects } = await execute(cluster, 'apply_manifest', { manifest });
    const patches = calls.filter(({ method }) => method === 'PATCH').map(({ path }) => path);

    expect(patches.map((path) => path.includes('dryRun=All'))).toEqual([true, true, false, false]);
    expect(patches[0]).toMatch(/^\/api\/v1\/namespaces\/team\/configmaps\/one\?/);
    expect(objects.map(({ name, result }) => [name, result])).toEqual([
      ['one', 'created'],
      ['two', 'created'],
    ]);
  });

  it('says what changed, and does nothing twice', async () => {
    const { cluster } = makeFakeCluster();
    await execute(cluster, 'apply_manifest', { manifest });
    const again = await execute(cluster, 'apply_manifest', { manifest });
    const changed = await execute(cluster, 'apply_manifest', { manifest: configMap('one', { data: { a: '2' } }) });

    expect(again.objects.map(({ result }) => result)).toEqual(['unchanged', 'unchanged']);
    expect(changed.output).toBe('ConfigMap team/one: changed');
    expect((await execute(cluster, 'delete', { kind: 'ConfigMap', name: 'one' })).objects).toMatchObject([
      { result: 'deleted' },
    ]);
    expect((await execute(cluster, 'delete', { kind: 'ConfigMap', name: 'one' })).objects).toMatchObject([
      { result: 'unchanged' },
    ]);
  });

  it('applies nothing where one object is refused', async () => {
    const { cluster, stored } = makeFakeCluster((name) => name === 'two');
    const failure = await failureOf(() => execute(cluster, 'apply_manifest', { manifest }));

    expect(failure).toMatchObject({ reason: 'ContextError', retryable: false });
    expect(failure.message).toContain('admission says no to two');
    expect([...stored]).toEqual([]);
  });

  it('takes nothing over from another manager, names it, and deletes only what it applied, and only that object', async () => {
    const { cluster, calls } = makeFakeCluster(undefined, ['theirs']);
    const apply = execute(cluster, 'apply_manifest', { manifest: configMap('theirs') });
    expect((await failureOf(() => apply)).message).toMatch(/managed by somebody else: conflict with "argocd"/);
    expect(calls.find(({ method }) => method === 'PATCH')?.path).not.toContain('force');

    const remove = execute(cluster, 'delete', { kind: 'ConfigMap', name: 'theirs' });
    expect((await failureOf(() => remove)).message).toMatch(/was not applied by this agent/);
    expect(calls.some(({ method }) => method === 'DELETE')).toBe(false);

    await execute(cluster, 'apply_manifest', { manifest });
    await execute(cluster, 'delete', { kind: 'ConfigMap', name: 'one' });
    expect(calls.at(-1)).toMatchObject({ method: 'DELETE', body: { preconditions: { uid: 'uid-of-one' } } });
  });

  it('says what it had applied when the cluster failed in between', async () => {
    const fake = makeFakeCluster();
    const call: Cluster['call'] = (one, signal) =>
      one.method === 'PATCH' && one.path.includes('/two?') && !one.path.includes('dryRun=All')
        ? Promise.reject(new AgentFailure('UpstreamError', 'The cluster answered 503.', true))
        : fake.cluster.call(one, signal);
    const failure = await failureOf(() => execute({ call }, 'apply_manifest', { manifest }));

    expect(failure).toMatchObject({ reason: 'UpstreamError', retryable: true });
    expect(failure.objects).toMatchObject([{ name: 'one', result: 'created' }]);
  });

  it('shows an object without what others keep in its annotations', async () => {
    const { cluster } = makeFakeCluster();
    await execute(cluster, 'apply_manifest', { manifest });
    const { output } = await execute(cluster, 'get', { kind: 'ConfigMap', name: 'one' });

    expect(output).not.toContain('canary');
    expect(JSON.parse(output)).toMatchObject({ metadata: { name: 'one', annotations: { team: 'a' } } });
  });

  it.each([
    ['no manifest', 'apply_manifest', {}, kubeconfig(), /params.manifest/],
    ['no kubeconfig', 'apply_manifest', { manifest }, null, /KUBECONFIG/],
    ['a kind outside the list', 'get', { kind: 'Secret', name: 'x', api_version: 'v1' }, kubeconfig(), /kind 'Secret'/],
    ['an object that is not there', 'get', { kind: 'ConfigMap', name: 'x' }, kubeconfig(), /no ConfigMap x/],
    ['a kind that the cluster lacks', 'get', { kind: 'Service', name: 'x' }, kubeconfig(), /knows no Service/],
  ])('fails with ContextError for %s', async (_title, action, params, config, words) => {
    const failure = await failureOf(() => execute(makeFakeCluster().cluster, action, params, config));

    expect(failure.reason).toBe('ContextError');
    expect(failure.message).toMatch(words);
  });
});
