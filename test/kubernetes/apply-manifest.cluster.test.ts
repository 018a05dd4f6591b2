import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { eventually } from '../support/clock.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** `scripts/test-kubernetes.sh` gives a cluster. */
const kubeconfig = process.env.KUBECONFIG_LAB;
const withCluster = kubeconfig === undefined ? describe.skip : describe;
const namespace = `apply-${process.pid}`;

async function kubectl(words: readonly string[]): Promise<string> {
  return (await promisify(execFile)('kubectl', [`--kubeconfig=${kubeconfig ?? ''}`, ...words])).stdout;
}
const inNamespace = (...words: string[]): Promise<string> => kubectl(['-n', namespace, ...words]);

withCluster('apply_manifest on a real cluster (part of S-07 and S-09)', () => {
  let outrigger: TestService;
  beforeAll(async () => {
    await kubectl(['create', 'namespace', namespace]);
    outrigger = await startTestService({
      OUTRIGGER_KUBERNETES_NAMESPACES: namespace,
      OUTRIGGER_MAX_PROFILE: 'trusted',
    });
    outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', {
      versionId: outrigger.coder.addVersion('docker', { max_profile: 'trusted' }),
      timing: finished,
    });
    const { admin } = outrigger.people;
    await outrigger.call(admin, 'PUT', '/api/v2/agents/secrets/lab', {
      config: await kubectl(['config', 'view', '--raw', '--flatten', '--minify']),
    });
    const entry = await outrigger.call(admin, 'PUT', '/api/v2/agents/registry/kubernetes', {
      apiVersion: 'kubeopencode.io/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'kubernetes' },
      spec: { credentials: [{ name: 'lab', secretRef: { name: 'lab', key: 'config' }, env: 'KUBECONFIG' }] },
    });
    expect(entry.status).toBe(200);
  });
  afterAll(async () => {
    await outrigger.stop();
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });

  const run = async (action: string, params: unknown) => {
    const { ada } = outrigger.people;
    const { body } = await outrigger.call(ada, 'POST', '/api/v2/agents/execute', {
      payload: { action, params },
      profile: 'trusted',
    });
    return eventually(
      `${action} to end`,
      async () => {
        const task = (await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${body.id}`)).body;
        return task.state === 'finished' ? task : undefined;
      },
      120_000,
    );
  };
  const configMap = (name: string, change = {}) =>
    stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace },
      data: { by: 'outrigger' },
      ...change,
    });

  it('leaves objects that kubectl shows, applies nothing of a manifest that is refused, and repeats no change', async () => {
    const manifest = `${configMap('one')}---\n${configMap('two')}`;
    const first = await run('apply_manifest', { manifest });
    expect(first).toMatchObject({ agent: 'kubernetes', outcome: 'succeeded', message: null });
    expect(await inNamespace('get', 'configmap', 'one', 'two', '-o', 'name')).toBe('configmap/one\nconfigmap/two\n');
    expect(await run('apply_manifest', { manifest })).toMatchObject({ outcome: 'no_change' });

    const broken = await run('apply_manifest', {
      manifest: `${configMap('three')}---\n${configMap('four', { data: { by: { not: 'text' } } })}`,
    });
    expect(broken).toMatchObject({ outcome: 'failed', reason: 'ContextError' });
    expect(await inNamespace('get', 'configmap', '-o', 'name')).not.toContain('three');

    await inNamespace('create', 'configmap', 'theirs', '--from-literal=by=kubectl');
    expect(await run('apply_manifest', { manifest: configMap('theirs') })).toMatchObject({
      reason: 'ContextError',
      message: expect.stringMatching(/managed by somebody else.*kubectl-create/),
    });
    expect(await run('delete', { kind: 'ConfigMap', name: 'theirs', namespace })).toMatchObject({
      reason: 'ContextError',
    });
    expect(await inNamespace('get', 'configmap', 'theirs', '-o', 'jsonpath={.data.by}')).toBe('kubectl');

    const got = await run('get', { kind: 'ConfigMap', name: 'one', namespace });
    expect(JSON.parse(got.evidence.last_message.text)).toMatchObject({ data: { by: 'outrigger' } });
    expect(await run('delete', { kind: 'ConfigMap', name: 'one', namespace })).toMatchObject({ outcome: 'succeeded' });
    expect(await inNamespace('get', 'configmap', '-o', 'name')).not.toContain('configmap/one\n');
    expect(
      await run('apply_manifest', { manifest: configMap('x', { metadata: { name: 'x', namespace: 'default' } }) }),
    ).toMatchObject({ outcome: 'failed', reason: 'ContextError' });
  }, 300_000);
});
