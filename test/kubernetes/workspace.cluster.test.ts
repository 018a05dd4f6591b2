import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import { chosen, planOf } from '../support/terraform/docker-template.ts';
import {
  kubernetesFakes,
  kubernetesForms,
  kubernetesVariables,
  type KubernetesTemplateName,
} from '../support/terraform/kubernetes-template.ts';
import { manifestsOf, type Manifest } from '../support/terraform/planned-kubernetes.ts';

/**
 * The templates' planned pods on a real cluster of one node: scripts/test-kubernetes.sh gives it.
 *
 * Stand-ins: Coder's agent is a shell that waits, and images go by the names under which they were loaded, because the
 * cluster has no registry. Its network plugin stores a NetworkPolicy and does not enforce it.
 */
const kubeconfig = process.env.KUBECONFIG_LAB;
const images = {
  executor: process.env.OUTRIGGER_EXECUTOR_IMAGE ?? '',
  opencode: process.env.OUTRIGGER_OPENCODE_IMAGE ?? '',
};
const withCluster = kubeconfig === undefined ? describe.skip : describe;
const suffix = String(process.pid);
const standIn = 'trap "exit 0" TERM; echo agent; while :; do sleep 1; done';

/** Of Coder's agent, which only an apply makes. */
const standInId = '2c1d7f3e-0000-4000-8000-000000000002';

const kubectl = async (argv: readonly string[], input = ''): Promise<string> =>
  await new Promise((resolve, reject) => {
    const child = execFile('kubectl', [`--kubeconfig=${kubeconfig ?? ''}`, ...argv], (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(`kubectl ${argv.join(' ')}\n${stdout}${stderr}`));
    });
    child.stdin?.end(input);
  });

interface Container {
  name: string;
  image: string;
  command: (string | null)[];
  env: { name: string; value?: string; valueFrom?: object }[];
}

/** Fills in what only a build knows. */
function withStandIns(manifest: Manifest): Manifest {
  if (manifest.kind !== 'Deployment') return manifest;
  const made = structuredClone(manifest) as Manifest & {
    spec: { template: { spec: { containers: Container[]; initContainers: Container[] } } };
  };
  const { containers, initContainers } = made.spec.template.spec;
  for (const container of [...containers, ...initContainers]) {
    container.image = container.name === 'opencode-init' ? images.opencode : images.executor;
    container.command = container.command.map((word) => word ?? standIn);
    for (const entry of container.env) if (entry.valueFrom === undefined) entry.value ??= standInId;
  }
  return made;
}

/** Applies a workspace of a template into a namespace of its own that enforces Pod Security "restricted". */
async function start(name: KubernetesTemplateName, namespace: string, given: Readonly<Record<string, unknown>> = {}) {
  const values = { ...kubernetesVariables[name], namespace, home_disk_gb: 1, ...given };
  const plan = await withFakeProviders(
    kubernetesFakes,
    async (environment) => await planOf('main.tf', kubernetesForms(name).hcl, environment, values),
    chosen({ disk: '1' }),
  );
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  const manifests: object[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    ...manifestsOf(plan).map(withStandIns),
  ];
  const secret = (manifestsOf(plan).find(({ kind }) => kind === 'Deployment')?.metadata.name ?? '') as string;
  const stringData = {
    CODER_AGENT_TOKEN: '2c1d7f3e-0000-4000-8000-000000000001',
    OUTRIGGER_HARNESS_KEY: 'a'.repeat(64),
    OUTRIGGER_PROOF: `0123456789ab.${'b'.repeat(64)}`,
  };
  manifests.splice(1, 0, { apiVersion: 'v1', kind: 'Secret', metadata: { name: secret, namespace }, stringData });
  await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }));
}

const namespaces = {
  standard: `outrigger-standard-${suffix}`,
  absent: `outrigger-absent-${suffix}`,
  handler: `outrigger-handler-${suffix}`,
  pretended: `outrigger-pretended-${suffix}`,
};
const runtimeClass = (name: string, handler: string): string =>
  JSON.stringify({ apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler });
const inNamespace = (namespace: string, ...argv: string[]) => kubectl(['-n', namespace, ...argv]);
const selector = 'app.kubernetes.io/name=coder-workspace';
const podReady = (namespace: string) =>
  inNamespace(namespace, 'wait', 'pod', '-l', selector, '--for=condition=Ready', '--timeout=300s');

/** Asks until an answer holds what is waited for; the test's own time limit ends it. */
async function until(ask: () => Promise<string>, expected: RegExp): Promise<string> {
  for (;;) {
    const answer = await ask().catch(String);
    if (expected.test(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
const events = (namespace: string) => () =>
  inNamespace(namespace, 'get', 'events', '-o', 'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}');

withCluster('a workspace of the template kubernetes on a cluster', () => {
  const deployment = async () => (await inNamespace(namespaces.standard, 'get', 'deployment', '-o', 'name')).trim();
  const run = async (container: string, script: string) =>
    await inNamespace(namespaces.standard, 'exec', await deployment(), '-c', container, '--', 'sh', '-c', script);

  beforeAll(async () => {
    await start('kubernetes', namespaces.standard);
    await until(() => inNamespace(namespaces.standard, 'get', 'pods', '-o', 'name'), /pod\//);
    await podReady(namespaces.standard);
  }, 400_000);
  afterAll(async () => {
    await kubectl(['delete', 'namespace', namespaces.standard, '--wait=false']);
  });

  it('is admitted where Pod Security restricted is enforced, which refuses a pod that is not like it', async () => {
    const refused = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'plain' },
      spec: { containers: [{ name: 'x', image: images.executor }] },
    };

    await expect(kubectl(['-n', namespaces.standard, 'create', '-f', '-'], JSON.stringify(refused))).rejects.toThrow(
      'violates PodSecurity "restricted',
    );
    expect(await inNamespace(namespaces.standard, 'get', 'pods', '-o', 'jsonpath={.items[0].status.phase}')).toBe(
      'Running',
    );
  });

  it('has its tools from the init container, which neither container can change', async () => {
    expect(await run('worker', 'ls /tools; stat -c %a /tools/opencode')).toMatch(
      /attach[\s\S]*opencode[\s\S]*rg[\s\S]*\b111\b/,
    );
    expect(await run('worker', '/tools/opencode --version')).toMatch(/^\d+\.\d+\.\d+/);
    for (const container of ['worker', 'opencode']) {
      expect(await run(container, 'touch /tools/x 2>&1 || true')).toMatch(/Read-only file system/);
    }
  });

  it('runs as 1000:0 without capabilities, and can write its volumes', async () => {
    for (const container of ['worker', 'opencode']) {
      expect(await run(container, 'id -u; id -g; grep CapEff /proc/1/status; touch /workspace/by-$(id -u)')).toMatch(
        /1000\s+0\s+CapEff:\s+0{16}/,
      );
    }
    expect(await run('worker', 'touch /home/coder/x && echo ok')).toBe('ok\n');
    expect(await run('opencode', 'touch /x 2>&1 || true; touch /tmp/x && echo ok')).toMatch(/Read-only[\s\S]*ok/);
  });

  it('keeps the home folder, the agent token and the processes of the worker from the agent', async () => {
    expect(await run('opencode', 'ls /home/coder 2>/dev/null | wc -l')).toBe('0\n');
    expect(await run('opencode', 'env | cut -d= -f1')).not.toMatch(/CODER_AGENT_TOKEN/);
    expect(await run('worker', 'env | cut -d= -f1')).toMatch(/CODER_AGENT_TOKEN/);
    expect(await run('worker', 'env | cut -d= -f1')).not.toMatch(/OUTRIGGER_PROOF/);
    expect(await run('opencode', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "')).not.toContain('echo agent');
    expect(await run('worker', 'ls /var/run/secrets/kubernetes.io 2>&1 || true')).toMatch(/No such file/);
  });

  it('finds its volumes as they were in the pod after this one', async () => {
    const before = await inNamespace(namespaces.standard, 'get', 'pods', '-o', 'jsonpath={.items[0].metadata.uid}');
    await run('worker', 'echo kept > /workspace/kept; echo mine > /home/coder/mine');
    await inNamespace(namespaces.standard, 'delete', 'pod', '-l', selector, '--wait=true', '--timeout=120s');
    await until(() => inNamespace(namespaces.standard, 'get', 'pods', '-o', 'name'), /pod\//);
    await podReady(namespaces.standard);

    expect(await run('worker', 'cat /workspace/kept /home/coder/mine')).toBe('kept\nmine\n');
    expect(await inNamespace(namespaces.standard, 'get', 'pods', '-o', 'jsonpath={.items[0].metadata.uid}')).not.toBe(
      before,
    );
  }, 300_000);
});

withCluster('a workspace of the template kata on a cluster without Kata', () => {
  const handlerClass = `outrigger-kata-${suffix}`;
  const pretendedClass = `outrigger-pretended-${suffix}`;

  afterAll(async () => {
    const kata = [namespaces.absent, namespaces.handler, namespaces.pretended];
    await kubectl(['delete', 'namespace', ...kata, '--wait=false', '--ignore-not-found']);
    await kubectl(['delete', 'runtimeclass', handlerClass, pretendedClass, '--ignore-not-found']);
  });

  it('is refused at once where the class is missing, and the cluster says so', async () => {
    await start('kata', namespaces.absent, { runtime_class: `absent-${suffix}` });

    expect(await until(events(namespaces.absent), /RuntimeClass/)).toContain(
      `RuntimeClass "absent-${suffix}" not found`,
    );
  }, 120_000);

  it('does not start where the node lacks the handler, and the cluster says which', async () => {
    await kubectl(['apply', '-f', '-'], runtimeClass(handlerClass, 'kata-qemu'));
    await start('kata', namespaces.handler, { runtime_class: handlerClass });

    expect(await until(events(namespaces.handler), /FailedCreatePodSandBox/)).toContain(
      'no runtime for "kata-qemu" is configured',
    );
  }, 180_000);

  it('starts no agent where the class only pretends: a pod of runc that is called Kata is found out (part of D15)', async () => {
    await kubectl(['apply', '-f', '-'], runtimeClass(pretendedClass, 'runc'));
    const node = await kubectl(['get', 'nodes', '-o', 'jsonpath={.items[0].status.nodeInfo.kernelVersion}']);
    await start('kata', namespaces.pretended, { runtime_class: pretendedClass, node_kernels: [node.trim()] });
    const logs = () => inNamespace(namespaces.pretended, 'logs', '-l', selector, '-c', 'opencode', '--tail=5');

    const said = await until(logs, /runtime-proof/);
    expect(said).toContain('this workspace claims kata, and that is not proven');
    expect(said).toContain(`it runs on kernel ${node.trim()}, which is a node's own`);
    const worker = 'jsonpath={.items[0].status.containerStatuses[?(@.name=="worker")].ready}';
    expect(await inNamespace(namespaces.pretended, 'get', 'pods', '-o', worker)).toBe('true');
  }, 300_000);
});
