import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts';
import { startTrustedService, type TrustedService } from './trusted-service.ts';

const fixture = readFileSync(join(import.meta.dirname, '../fixtures/agentzero/workflow.request.json'), 'utf8');
const workflows = '/api/v2/agents/agentzero/workflows';
const commits = ['a'.repeat(40), 'b'.repeat(40)];

let trusted: TrustedService;
let cluster: FakeCluster;
let bridge: FakeBridge;
beforeAll(async () => {
  cluster = await startFakeCluster('team');
  trusted = await startTrustedService(
    { OUTRIGGER_KUBERNETES_NAMESPACES: 'team' },
    // The owner's choice in the form: the fixture's steps name none.
    { permission_profile: 'trusted' },
  );
  await trusted.give('kubernetes', 'KUBECONFIG', cluster.kubeconfig);
  bridge = await trusted.bridge();
});
afterAll(async () => {
  bridge.close();
  await trusted.outrigger.stop();
  await cluster.close();
});

/** Runs the fixture; the workspace does the two steps of OpenCode, and shows these files as committed. */
async function run(files: Readonly<Record<string, string>>) {
  const { outrigger } = trusted;
  const { ada } = outrigger.people;
  bridge.answers.set('listCommitted', () => ({
    files: Object.entries(files).map(([path, text]) => ({ path, bytes: text.length })),
  }));
  bridge.answers.set('readCommitted', (payload) => ({ text: files[(payload as { path: string }).path] }));
  const { status, body } = await outrigger.call(ada, 'POST', workflows, fixture);
  expect(status).toBe(201);
  for (const commit of commits) {
    const lease = await takeLease(bridge);
    expect(lease.profile).toBe('trusted');
    await bridge.request('result', { ...lease, evidence: goodEvidence({ commit }) });
  }
  return eventually(
    'the workflow to end',
    async () => {
      const workflow = (await outrigger.call(ada, 'GET', `${workflows}/${body.id}`)).body;
      return workflow.state === 'finished' ? workflow : undefined;
    },
    20_000,
  );
}

const configMap = (name: string) => stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });

describe('S-09 the documented workflow, unchanged', () => {
  it('S-09 gives steps to OpenCode and to the cluster’s agent, which applies what these steps committed below deploy', async () => {
    const { outcome, steps } = await run({
      'deploy/two.yml': configMap('two'),
      'deploy/one.yaml': configMap('one'),
      'deploy/readme.md': 'no manifest',
    });

    expect(steps.map((step: { id: string; outcome: string }) => [step.id, step.outcome])).toEqual([
      ['backend', 'succeeded'],
      ['frontend', 'succeeded'],
      ['deploy', 'succeeded'],
    ]);
    expect(outcome).toBe('succeeded');
    expect([...cluster.objects.keys()]).toEqual(['ConfigMap/one', 'ConfigMap/two']);
    expect(bridge.commands.find(({ type }) => type === 'listCommitted')?.payload).toEqual({
      commits,
      folder: 'deploy',
    });
    // What was asked and answered is not kept.
    expect((await trusted.outrigger.database.pool.query('select 1 from bridge_frame')).rowCount).toBe(0);
    expect(trusted.outrigger.log()).not.toContain(cluster.token);
  });

  it('fails its last step with ContextError where nothing was committed below deploy', async () => {
    const { outcome, steps } = await run({ 'deploy/readme.md': 'no manifest' });

    expect(outcome).toBe('failed');
    expect(steps[2]).toMatchObject({
      outcome: 'failed',
      reason: 'ContextError',
      message: expect.stringContaining('no YAML file lies in deploy/'),
    });
  });
});
