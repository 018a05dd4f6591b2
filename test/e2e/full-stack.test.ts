import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts';
import { openFullStack, runFixture } from './full-stack.ts';
import type { Scene } from './scene.ts';

let cluster: FakeCluster;
let scene: Scene;
beforeAll(async () => {
  cluster = await startFakeCluster('team');
  scene = await openFullStack({ kubeconfig: cluster.kubeconfig, namespace: 'team' });
});
afterAll(async () => {
  await scene?.end();
  await cluster.close();
});

describe('the documented workflow, unchanged', () => {
  it('S-09 gives steps to OpenCode in the workspace and to the cluster’s agent, which applies what OpenCode committed', async () => {
    const { outcome, steps } = await runFixture(scene);

    expect(steps.map(({ id, agent, outcome, message }) => [id, agent, outcome, message])).toEqual([
      ['backend', 'opencode', 'succeeded', null],
      ['frontend', 'opencode', 'succeeded', null],
      ['deploy', 'kubernetes', 'succeeded', null],
    ]);
    expect(outcome).toBe('succeeded');
    expect(cluster.objects.get('ConfigMap/users')).toMatchObject({ data: { pages: '1' } });
    const logs = readFileSync(`${scene.stage.directory}/logs/bridge.log`, 'utf8');
    expect(logs).not.toContain(cluster.token);
    expect(await scene.verifyAudit()).toMatchObject({ ok: true });
  });
});
