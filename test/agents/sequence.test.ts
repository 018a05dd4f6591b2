import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts';
import { startTrustedService, type TrustedService } from './trusted-service.ts';

let trusted: TrustedService;
let cluster: FakeCluster;
let bridge: FakeBridge;
beforeAll(async () => {
  cluster = await startFakeCluster('team');
  trusted = await startTrustedService({ OUTRIGGER_KUBERNETES_NAMESPACES: 'team' });
  await trusted.give('kubernetes', 'KUBECONFIG', cluster.kubeconfig);
  bridge = await trusted.bridge();
});
afterAll(async () => {
  bridge?.close();
  await trusted?.outrigger.stop();
  await cluster.close();
});

const manifest = stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'users' } });
const nested = {
  name: 'Build, then deploy',
  steps: [
    { id: 'build', agent: 'opencode', task: 'generate_code', params: { prompt: 'Build it' } },
    {
      id: 'deploy',
      agent: 'kubernetes',
      task: 'apply_manifest',
      depends_on: ['build'],
      profile: 'trusted',
      params: { manifest },
    },
  ],
};

/** A step of the way, as the audit of the run tells it. */
interface Told {
  readonly action: string;
  readonly actor: string;
  readonly target: { readonly id: string };
  readonly data: Readonly<Record<string, unknown>>;
}

it('S-50 a task goes from its user through API, scheduler and agentzero to OpenCode and the cluster, and its result back', async () => {
  const { outrigger } = trusted;
  const { people, workspace, call } = outrigger;
  const submitted = await call(people.ada, 'POST', '/api/v2/agents/execute', {
    type: 'agentzero',
    profile: 'trusted',
    payload: { action: 'run_workflow', params: nested },
  });
  expect(submitted.status).toBe(202);
  const lease = await takeLease(bridge);
  const last_message = { finish: 'stop', error: null, text: `echo of ${lease.prompt}` };
  await bridge.request('result', { ...lease, evidence: goodEvidence({ last_message }) });
  const path = `/api/v2/agents/tasks/${submitted.body.id}`;
  const task = await eventually(
    'the end',
    async () => {
      const { body } = await call(people.ada, 'GET', path);
      return body.state === 'finished' ? body : undefined;
    },
    20_000,
  );
  const workflowId: string = task.result.objects[0].name;
  const { body: workflow } = await call(people.ada, 'GET', `/api/v2/agents/agentzero/workflows/${workflowId}`);
  const [build, deploy] = (workflow.steps as { task_id: string }[]).map(({ task_id }) => task_id);
  const names = new Map([
    [task.id, 'the task'],
    [build, 'build'],
    [deploy, 'deploy'],
  ]);

  const { body: audit } = await call(people.ada, 'GET', '/api/v2/agents/audit?limit=100');
  const way = (audit.items as Told[])
    .toReversed()
    .filter(({ action }) => /^(task|workflow)\./.test(action))
    .map(({ action, actor, target, data }) => [
      actor,
      action,
      action.startsWith('task.') ? names.get(target.id) : 'the workflow',
      data['agent'] ?? data['outcome'] ?? null,
    ]);

  const [ada, ofWorkspace] = [`user:${people.ada.id}`, `bridge:${workspace.id}`];
  expect(way).toEqual([
    [ada, 'task.submitted', 'the task', 'agentzero'],
    ['service', 'task.leased', 'the task', 'agentzero'],
    [ada, 'workflow.submitted', 'the workflow', null],
    [ada, 'task.submitted', 'build', 'opencode'],
    [ofWorkspace, 'task.leased', 'build', null],
    [ofWorkspace, 'task.finished', 'build', 'succeeded'],
    [ada, 'task.submitted', 'deploy', 'kubernetes'],
    ['service', 'task.leased', 'deploy', 'kubernetes'],
    ['service', 'task.finished', 'deploy', 'succeeded'],
    ['service', 'workflow.finished', 'the workflow', 'succeeded'],
    ['service', 'task.finished', 'the task', 'succeeded'],
  ]);
  expect(lease.prompt).toBe('Build it');
  expect(cluster.objects.has('ConfigMap/users')).toBe(true);
  expect(task.result.output).toContain('ConfigMap team/users: created');
});
