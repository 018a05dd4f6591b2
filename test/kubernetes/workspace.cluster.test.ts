import { afterAll, beforeAll, expect, it } from '@jest/globals';
import {
  images,
  inNamespace,
  kubectl,
  podReady,
  run as runIn,
  selector,
  start,
  suffix,
  withCluster,
} from './cluster.ts';

const namespace = `outrigger-standard-${suffix}`;

withCluster('a workspace of the template kubernetes on a cluster', () => {
  const run = (container: string, script: string): Promise<string> => runIn(namespace, container, script);

  beforeAll(async () => {
    await start('kubernetes', namespace);
    await podReady(namespace);
  }, 400_000);
  afterAll(async () => {
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });

  it('is admitted where Pod Security restricted is enforced, which refuses a pod that is not like it', async () => {
    const refused = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'plain' },
      spec: { containers: [{ name: 'x', image: images.executor }] },
    };

    await expect(kubectl(['-n', namespace, 'create', '-f', '-'], JSON.stringify(refused))).rejects.toThrow(
      'violates PodSecurity "restricted',
    );
    expect(await inNamespace(namespace, 'get', 'pods', '-o', 'jsonpath={.items[0].status.phase}')).toBe('Running');
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
    const before = await inNamespace(namespace, 'get', 'pods', '-o', 'jsonpath={.items[0].metadata.uid}');
    await run('worker', 'echo kept > /workspace/kept; echo mine > /home/coder/mine');
    await inNamespace(namespace, 'delete', 'pod', '-l', selector, '--wait=true', '--timeout=120s');
    await podReady(namespace);

    expect(await run('worker', 'cat /workspace/kept /home/coder/mine')).toBe('kept\nmine\n');
    expect(await inNamespace(namespace, 'get', 'pods', '-o', 'jsonpath={.items[0].metadata.uid}')).not.toBe(before);
  }, 300_000);
});
