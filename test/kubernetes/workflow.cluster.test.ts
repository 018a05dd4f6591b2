import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { openFullStack, runFixture } from '../e2e/full-stack.ts';
import type { Scene } from '../e2e/scene.ts';
import { inNamespace, kubectl, suffix, withCluster } from './cluster.ts';

const namespace = `workflow-${suffix}`;

withCluster('the documented workflow on a real cluster', () => {
  let scene: Scene;
  beforeAll(async () => {
    await kubectl(['create', 'namespace', namespace]);
    await kubectl(['config', 'view']);
    const kubeconfig = await kubectl(['config', 'view', '--raw', '--flatten', '--minify']);
    scene = await openFullStack({
      kubeconfig: kubeconfig.replace(/^(\s+)cluster: (\S+)$/m, `$1cluster: $2\n$1namespace: ${namespace}`),
      namespace,
    });
  });
  afterAll(async () => {
    await scene?.end();
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
  });

  it('ends, unchanged, with an object that kubectl shows (part of S-07 and S-09)', async () => {
    const { outcome, steps } = await runFixture(scene);

    expect(steps.map(({ id, outcome, message }) => [id, outcome, message])).toEqual([
      ['backend', 'succeeded', null],
      ['frontend', 'succeeded', null],
      ['deploy', 'succeeded', null],
    ]);
    expect(outcome).toBe('succeeded');
    expect(await inNamespace(namespace, 'get', 'configmap', 'users', '-o', 'jsonpath={.data.pages}')).toBe('1');
  });
});
