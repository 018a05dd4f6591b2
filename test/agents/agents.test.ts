import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import type { Agent, Evidence, Task } from '../../modules/contract.ts';
import { makeRegistry } from '../../service/agents/registry.ts';
import { readTask } from '../../service/tasks/task-store.ts';
import { asAgentTask, failedEvidence } from '../../service/tasks/task.ts';
import { taskOf } from '../support/agent-task.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startFakeDocker, type FakeDocker } from '../support/fake-docker.ts';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.ts';
import type { TestService } from '../support/service.ts';
import { itKeepsTheContract } from './agent-contract.ts';
import { startTrustedService } from './trusted-service.ts';

const namespace = 'team';
let outrigger: TestService;
let cluster: FakeCluster;
let docker: FakeDocker;
let bridge: FakeBridge;
let organizationId: string;

beforeAll(async () => {
  cluster = await startFakeCluster(namespace);
  docker = await startFakeDocker({ 'docker.io/library/tool:latest': { id: 'sha256:tool' } });
  const trusted = await startTrustedService({
    OUTRIGGER_KUBERNETES_NAMESPACES: namespace,
    OUTRIGGER_DOCKER_IMAGES: 'tool',
    OUTRIGGER_MAX_CONCURRENT: '4',
  });
  outrigger = trusted.outrigger;
  organizationId = await trusted.give('kubernetes', 'KUBECONFIG', cluster.kubeconfig);
  await trusted.give('docker', 'DOCKER_HOST_CONFIG', docker.config);
  bridge = await trusted.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
  await cluster.close();
  await docker.close();
});

const agentNamed = (name: string) => (): Agent => {
  const found = outrigger.service.agents.find((agent) => agent.name() === name);
  if (!found) throw new Error(`the service has no agent ${name}`);
  return found;
};
const count = async (table: string): Promise<number> =>
  Number((await outrigger.database.pool.query(`select count(*) as rows from ${table}`)).rows[0].rows);

/** Submits a task as a person does, and answers it as its agent gets it. */
async function submitted(body: object): Promise<Task> {
  const answer = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/execute', {
    profile: 'trusted',
    ...body,
  });
  expect([answer.status, answer.body]).toEqual([202, expect.anything()]);
  const record = await readTask(outrigger.database, answer.body.id);
  if (!record) throw new Error('the task is not stored');
  return asAgentTask(record);
}

/** The workspace takes the next task, and reports. */
const report = (evidence: Evidence): void =>
  void takeLease(bridge).then((lease) => bridge.request('result', { ...lease, evidence }));

const configMap = (name: string, kind = 'ConfigMap') =>
  stringify({ apiVersion: 'v1', kind, metadata: { name }, data: { by: 'outrigger' } });

describe('S-70 S-01 every registered agent keeps one contract', () => {
  const tried = ['opencode', 'agentzero', 'kubernetes', 'docker', 'nix'];

  it('S-07 S-70 S-46 S-39 S-04 is tried here: none is registered that is not, agentzero among them', () => {
    const registered = outrigger.service.agents.map((agent) => agent.name());

    expect(registered).toEqual(makeRegistry().agents.map((agent) => agent.name()));
    expect(registered).toEqual(tried);
    expect(registered).toEqual(expect.arrayContaining(['opencode', 'agentzero', 'kubernetes']));
  });

  describe('S-01 opencode', () => {
    const payload = { action: 'generate_code', prompt: 'Do it' };
    itKeepsTheContract('opencode', {
      agent: agentNamed('opencode'),
      async good() {
        const task = await submitted({ payload });
        report(goodEvidence());
        return { task, output: /^Done\.$/ };
      },
      async bad() {
        const task = await submitted({ payload });
        report(failedEvidence({ reason: 'ContextError', message: 'There is no repository.', retryable: false }));
        return { task, reason: 'ContextError' };
      },
      endless: () => submitted({ payload }),
      effects: () => count('attempt'),
      secrets: () => [bridge.token],
    });
  });

  describe('S-01 agentzero', () => {
    const runs = (steps: object[]) =>
      submitted({ type: 'agentzero', payload: { action: 'run_workflow', params: { name: 'Nested', steps } } });
    const step = { id: 'only', agent: 'opencode', task: 'generate_code' };
    itKeepsTheContract('agentzero', {
      agent: agentNamed('agentzero'),
      async good() {
        const task = await runs([
          step,
          {
            id: 'deploy',
            agent: 'kubernetes',
            task: 'apply_manifest',
            depends_on: ['only'],
            profile: 'trusted',
            params: { manifest: configMap('nested') },
          },
        ]);
        report(goodEvidence());
        return { task, output: /only: succeeded\ndeploy: succeeded\n\nConfigMap team\/nested: created/ };
      },
      bad: async () => ({ task: await runs([{ ...step, agent: 'robot' }]), reason: 'ContextError' }),
      endless: () => runs([step]),
      effects: async () => (await count('workflow')) + (await count('task')),
      secrets: () => [cluster.token, bridge.token],
    });

    it('takes its workflow with it where nobody follows that any more', async () => {
      const { id } = await runs([step]);
      const lease = await takeLease(bridge);
      // As after a crash: it waits for its next attempt.
      await outrigger.database.pool.query(
        `update task set state = 'queued', run_at = now() + interval '1 day' where id = $1`,
        [id],
      );

      await outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);

      const { rows } = await outrigger.database.pool.query('select cancel_requested_by from workflow where id = $1', [
        id,
      ]);
      expect(rows).toEqual([{ cancel_requested_by: outrigger.people.ada.id }]);
      await bridge.request('result', { ...lease, evidence: goodEvidence() });
    });

    it.each([
      ['another workflow', { agent: 'agentzero', task: 'run_workflow' }, /would run another workflow/],
      ['another workspace', { workspace_id: 'ws-123' }, /leave workspace_id out/],
    ])('fails a workflow with a step for %s', async (_title, change, words) => {
      const task = await runs([{ ...step, ...change }]);

      await expect(
        agentNamed('agentzero')().execute(task, { signal: new AbortController().signal }),
      ).rejects.toMatchObject({ reason: 'ContextError', message: expect.stringMatching(words) });
    });
  });

  describe('S-01 kubernetes', () => {
    const task = (action: string, params: unknown) => taskOf('kubernetes', action, params, { organizationId });
    itKeepsTheContract('kubernetes', {
      agent: agentNamed('kubernetes'),
      good: () =>
        Promise.resolve({
          task: task('apply_manifest', { manifest: configMap('one') }),
          output: /^ConfigMap team\/one: (created|unchanged)$/,
        }),
      bad: () =>
        Promise.resolve({
          task: task('apply_manifest', { manifest: configMap('one', 'Secret') }),
          reason: 'ContextError',
        }),
      async endless() {
        const manifest = stringify({
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'stuck' },
          spec: {},
        });
        await agentNamed('kubernetes')().execute(task('apply_manifest', { manifest }), {
          signal: new AbortController().signal,
        });
        return task('rollout_status', { kind: 'Deployment', name: 'stuck' });
      },
      effects: () => Promise.resolve(cluster.objects.size),
      secrets: () => [cluster.token],
    });
  });

  describe('S-01 docker', () => {
    const task = (id: number, argv: string[], image = 'tool') =>
      taskOf(
        'docker',
        'run_image',
        { image, argv },
        { organizationId, id: `019aa000-0000-7000-8000-00000000010${id}` },
      );
    itKeepsTheContract('docker', {
      agent: agentNamed('docker'),
      good: () => Promise.resolve({ task: task(1, ['echo', 'hello']), output: /^hello$/ }),
      bad: () => Promise.resolve({ task: task(2, ['echo'], 'other'), reason: 'ContextError' }),
      endless: () => Promise.resolve(task(3, ['sleep'])),
      effects: () => Promise.resolve(docker.made),
      secrets: () => docker.key.split('\n').filter((line) => line.length > 20 && !line.startsWith('-')),
    });
  });

  describe('S-07 S-01 nix', () => {
    const check = { type: 'nix', payload: { action: 'nix_flake_check' } };
    const ended = (exit: number) =>
      goodEvidence({
        last_message: { finish: 'stop', error: null, text: 'checked' },
        command: { exit, timed_out: false },
        diff: { files: 0, additions: 0, deletions: 0 },
        commit: null,
      });
    itKeepsTheContract('nix', {
      agent: agentNamed('nix'),
      async good() {
        const task = await submitted(check);
        report(ended(0));
        return { task, output: /^checked$/ };
      },
      async bad() {
        const task = await submitted(check);
        report(ended(1));
        return { task, reason: 'AgentError' };
      },
      endless: () => submitted(check),
      effects: () => count('attempt'),
      secrets: () => [bridge.token],
    });

    it('is leased as the arguments of a program, never as a prompt for a shell', async () => {
      await submitted({
        type: 'nix',
        payload: { action: 'nix_run', params: { attribute: 'tool', arguments: ['; id'] } },
      });
      const lease = await takeLease(bridge);

      expect(lease.command).toEqual({
        program: 'nix',
        arguments: ['run', '--no-write-lock-file', '--print-build-logs', '.#tool', '--', '; id'],
      });
      await bridge.request('result', { ...lease, evidence: ended(0) });
    });

    it.each([
      ['another flake', { action: 'nix_build', params: { attribute: 'nixpkgs#hello' } }, 'params.attribute'],
      ['an option', { action: 'nix_build', params: { attribute: '--impure' } }, 'params.attribute'],
      ['an unknown parameter', { action: 'nix_flake_check', params: { argv: ['sh'] } }, 'params'],
      ['no program', { action: 'nix_develop_run', params: { argv: [] } }, 'params.argv'],
      ['an action that is not on the list', { action: 'nix_shell' }, null],
    ])('takes no %s', async (_title, payload, path) => {
      const { status, body } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/execute', {
        type: 'nix',
        payload,
      });

      expect(status).toBe(422);
      if (path !== null)
        expect(body.errors).toEqual([expect.objectContaining({ path: expect.stringContaining(path) })]);
    });

    it.each([
      ['read-only', { profile: 'read-only' }, 'profile_not_enough'],
      ['a verify command', { verify: { argv: ['true'] } }, 'verify_not_here'],
    ])('takes no task with %s', async (_title, more, code) => {
      const { status, body } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/execute', {
        ...check,
        ...more,
      });

      expect([status, body.code]).toEqual([422, code]);
    });
  });
});
