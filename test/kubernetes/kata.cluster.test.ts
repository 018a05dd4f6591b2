import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { diagnoseKata, type KataOptions } from '../../scripts/doctor/kata.ts';
import { exitCodeOf, type Check } from '../../scripts/doctor/check.ts';
import {
  events,
  images,
  inNamespace,
  kubectl,
  kubectlProgram,
  podReady,
  run,
  selector,
  start,
  suffix,
  until,
  withCluster,
} from './cluster.ts';

const namespaces = {
  absent: `outrigger-absent-${suffix}`,
  handler: `outrigger-handler-${suffix}`,
  pretended: `outrigger-pretended-${suffix}`,
  kata: `outrigger-kata-${suffix}`,
};
const classes = {
  absent: `absent-${suffix}`,
  handler: `outrigger-kata-${suffix}`,
  pretended: `outrigger-pretended-${suffix}`,
};
const runtimeClass = (name: string, handler: string): string =>
  JSON.stringify({ apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name }, handler });
const nodeKernels = async (): Promise<readonly string[]> =>
  (await kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].status.nodeInfo.kernelVersion}'])).trim().split(/\s+/);
const logs = (namespace: string) => () => inNamespace(namespace, 'logs', '-l', selector, '-c', 'opencode', '--tail=5');

withCluster('a workspace of the template kata on a cluster without Kata', () => {
  afterAll(async () => {
    const { absent, handler, pretended } = namespaces;
    await kubectl(['delete', 'namespace', absent, handler, pretended, '--wait=false', '--ignore-not-found']);
    await kubectl(['delete', 'runtimeclass', classes.handler, classes.pretended, '--ignore-not-found']);
  });

  const diagnose = (options: Pick<KataOptions, 'namespace' | 'runtimeClass'> & Partial<KataOptions>) =>
    diagnoseKata(kubectlProgram, { nodeNamespace: 'kube-system', ...options });
  const named = (checks: readonly Check[], name: string): Check | undefined =>
    checks.find((check) => check.name.startsWith(name));

  it('D15 is refused at once where the class is missing, and cluster and doctor say so', async () => {
    await start('kata', namespaces.absent, { runtime_class: classes.absent });

    expect(await until(events(namespaces.absent), /RuntimeClass/)).toContain(
      `RuntimeClass "${classes.absent}" not found`,
    );
    const { checks } = await diagnose({ namespace: namespaces.absent, runtimeClass: classes.absent });
    expect(named(checks, 'RuntimeClass')).toMatchObject({ state: 'fail', remedy: expect.stringContaining('helm') });
  });

  it('D15 does not start where the node lacks the handler, and cluster and doctor say which', async () => {
    await kubectl(['apply', '-f', '-'], runtimeClass(classes.handler, 'kata-qemu'));
    await start('kata', namespaces.handler, { runtime_class: classes.handler });

    const missing = 'no runtime for "kata-qemu" is configured';
    expect(await until(events(namespaces.handler), /FailedCreatePodSandBox/)).toContain(missing);
    const { checks } = await diagnose({ namespace: namespaces.handler, runtimeClass: classes.handler });
    expect(named(checks, 'handler')).toMatchObject({
      state: 'fail',
      found: expect.stringContaining(missing),
      remedy: expect.stringContaining('containerd'),
    });
    expect(named(checks, 'guest memory')).toMatchObject({ state: 'ok' });
    expect(named(checks, 'overhead')).toMatchObject({
      state: 'warn',
      remedy: expect.stringContaining('kubectl patch'),
    });
  });

  it('D15 starts no agent where the class only pretends: a pod of runc that is called Kata turns red', async () => {
    await kubectl(['apply', '-f', '-'], runtimeClass(classes.pretended, 'runc'));
    const [node = ''] = await nodeKernels();
    await start('kata', namespaces.pretended, { runtime_class: classes.pretended, node_kernels: [node] });

    const said = await until(logs(namespaces.pretended), /runtime-proof/);
    expect(said).toContain('this workspace claims kata, and that is not proven');
    expect(said).toContain(`it runs on kernel ${node}, which is a node's own`);
    const worker = 'jsonpath={.items[0].status.containerStatuses[?(@.name=="worker")].ready}';
    expect(await inNamespace(namespaces.pretended, 'get', 'pods', '-o', worker)).toBe('true');
    for (const fact of ['hypervisor', 'verified_at'])
      expect(await run(namespaces.pretended, 'worker', `/tools/runtime-proof ${fact}`)).toBe('not proven\n');
  }, 300_000);

  it('D15 turns the doctor red for that class too, and leaves no pod of its own behind', async () => {
    await kubectl(['apply', '-f', '-'], runtimeClass(classes.pretended, 'runc'));
    const diagnosis = await diagnose({
      namespace: namespaces.pretended,
      runtimeClass: classes.pretended,
      probeImage: images.executor,
    });
    const { checks } = diagnosis;

    expect(named(checks, 'guest kernel')).toMatchObject({
      state: 'fail',
      found: expect.stringMatching(/which is the kernel of node/),
      remedy: expect.stringContaining('handler'),
    });
    expect(exitCodeOf(diagnosis)).toBe(2);
    for (const name of ['RuntimeClass', 'handler', '/dev/kvm', 'nesting', 'overhead'])
      expect([name, named(checks, name)?.state]).toEqual([name, expect.stringMatching(/^(ok|warn|fail)$/)]);
    expect(checks.filter(({ state, remedy }) => state !== 'ok' && !remedy)).toEqual([]);
    const pods = () => kubectl(['get', 'pods', '--all-namespaces', '-o', 'name']);
    await until(async () => ((await pods()).includes('outrigger-doctor') ? 'left' : 'gone'), /gone/);
  }, 300_000);
});

/** Set where the cluster has Kata. */
const kataClass = process.env.OUTRIGGER_KATA_CLASS;

withCluster('a workspace of the template kata', () => {
  (kataClass === undefined ? describe.skip : describe)('on a cluster with Kata', () => {
    const namespace = namespaces.kata;
    beforeAll(async () => {
      await start('kata', namespace, { runtime_class: kataClass, node_kernels: await nodeKernels() });
      await podReady(namespace);
    }, 600_000);
    afterAll(() => kubectl(['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found']));

    it('K-25 runs on a kernel that no node has, shows it, and only then starts the agent', async () => {
      const pods = 'jsonpath={.items[0].spec.runtimeClassName}';
      expect(await inNamespace(namespace, 'get', 'pods', '-l', selector, '-o', pods)).toBe(kataClass);
      for (const container of ['worker', 'opencode']) {
        expect(await nodeKernels()).not.toContain((await run(namespace, container, 'uname -r')).trim());
        expect(await run(namespace, container, '/tools/runtime-proof hypervisor')).toMatch(/^Kata /);
        expect(await run(namespace, container, '/tools/runtime-proof verified_at')).toMatch(/^\d{4}-\d\d-\d\dT/);
      }
      await until(() => run(namespace, 'opencode', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'), /bridge\.js/);
    }, 300_000);
  });
});
