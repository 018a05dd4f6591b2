import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import { goodEvidence, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';

const base = `registry.example.com/base:1@sha256:${'a'.repeat(64)}`;
const variables = {
  executor_images: JSON.stringify([base]),
  allowed_images: '[]',
  allowed_models: '["scripted/test", "scripted/other"]',
  max_profile: 'ask',
  agent_modes: '["sidecar"]',
  max_cpu: '4',
  max_memory_mb: '8192',
  max_disk_gb: '20',
};
const chosen = { executor_image: base, memory: '2048', permission_profile: 'read-only', model: 'scripted/other' };

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({
    OUTRIGGER_MODELS: 'scripted/test,scripted/other,scripted/third',
    OUTRIGGER_MAX_PROFILE: 'trusted',
  });
});
afterAll(() => outrigger.stop());

/** A build of Ada's workspace from a version with these variables, as Coder would have it after the start. */
function build(parameters: Record<string, string> = {}, set: Record<string, string> = {}): { agentId: string } {
  const versionId = outrigger.coder.addVersion('docker', { ...variables, ...set });
  return outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', {
    versionId,
    timing: finished,
    parameters: { ...chosen, own_image: '', agent_mode: 'sidecar', ...parameters },
  });
}

async function bridgeOf({ agentId }: { agentId: string }): Promise<FakeBridge> {
  const { body } = await outrigger.call(outrigger.people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const { workspace, people, url } = outrigger;
  const proof = deriveProof((body as { secret: string }).secret, workspace.id, people.ada.id, agentId);
  return startFakeBridge({ url, proof, workspaceId: workspace.id, agentId });
}

const post = (change: Record<string, unknown> = {}) =>
  outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } },
    ...change,
  });
const read = async (id: string) =>
  (await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${id}`)).body;
const stop = (id: string) => outrigger.call(outrigger.people.ada, 'POST', `/api/v2/agents/tasks/${id}/stop`);
const countTasks = async (): Promise<number> =>
  (await outrigger.database.pool.query<{ n: number }>('select count(*)::int as n from task')).rows[0]?.n ?? 0;

describe('what the admin of a template allows holds at the service too', () => {
  it('P-52 takes the model of the workspace’s parameter, or of the task, and refuses another with the list', async () => {
    build();
    const [owners, own] = [(await post()).body, (await post({ model: 'scripted/test' })).body];
    const refused = await post({ model: 'gpt-4-turbo' });

    expect(await read(owners.id)).toMatchObject({ model: 'scripted/other' });
    expect(await read(own.id)).toMatchObject({ model: 'scripted/test' });
    expect(refused.status).toBe(422);
    expect(refused.body.detail).toMatch(/Allowed: scripted\/test, scripted\/other\.$/);
    for (const { id } of [owners, own]) await stop(id);
  });

  it('refuses a model that is not in the template’s list with 422 and that list', async () => {
    build();
    const before = await countTasks();
    const answer = await post({ model: 'scripted/third' });

    expect([answer.status, answer.body.code]).toEqual([422, 'model_not_allowed']);
    expect(answer.body.detail).toMatch(/Allowed: scripted\/test, scripted\/other\.$/);
    expect(await countTasks()).toBe(before);
  });

  it('refuses a profile above max_profile with 422, although the service itself allows it', async () => {
    build();
    const answer = await post({ profile: 'trusted' });

    expect([answer.status, answer.body.code]).toEqual([422, 'profile_not_allowed']);
    expect(answer.body.detail).toMatch(/Allowed: read-only, ask\.$/);
  });

  it('gives a task that names neither what its workspace’s owner chose', async () => {
    build();
    const { body } = await post();

    expect(await read(body.id)).toMatchObject({ model: 'scripted/other', profile: 'read-only' });
    await stop(body.id);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      'own_image',
      { executor_image: 'own', own_image: `evil.example.com/x@sha256:${'b'.repeat(64)}` },
      /executor_image 'own'/,
    ],
    ['agent_mode', { agent_mode: 'process' }, /agent_mode 'process'.*Allowed: sidecar\./],
    ['memory', { memory: '65536' }, /memory '65536'.*Allowed: at most 8192 MB\./],
    [
      'permission_profile',
      { permission_profile: 'trusted' },
      /permission_profile 'trusted'.*Allowed: read-only, ask\./,
    ],
  ])(
    'answers 422 for every task in a workspace whose %s was forged, and leases nothing there',
    async (_name, forged, words) => {
      const honest = build();
      const earlier = (await post()).body.id as string;
      const build2 = build(forged);

      const answer = await post();
      expect([answer.status, answer.body.code]).toEqual([422, 'workspace_out_of_bounds']);
      expect(answer.body.detail).toMatch(words);
      expect(honest.agentId).not.toBe(build2.agentId);

      const bridge = await bridgeOf(build2);
      // Never answered with a lease; without one it waits for longer than this test.
      void bridge.request('lease', { slots: 1, holding: [] });
      const task = await eventually('the earlier task to end', async () => {
        const now = await read(earlier);
        return now.state === 'finished' ? now : undefined;
      });
      expect(task).toMatchObject({ outcome: 'failed', reason: 'ContextError' });
      expect(task.message).toMatch(words);
      bridge.close();
    },
  );

  it('holds for each step of a workflow', async () => {
    build();
    const steps = [
      { id: 'one', agent: 'opencode', task: 'generate_code' },
      { id: 'two', agent: 'opencode', task: 'fix_tests', depends_on: ['one'], model: 'scripted/third' },
    ];
    const body = { name: 'w', workspace_id: 'ws-123', steps };
    const answer = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/agentzero/workflows', body);

    expect([answer.status, answer.body.code]).toEqual([422, 'model_not_allowed']);
  });

  it('takes a template without our variables for the strictest: ask, and the models of the service', async () => {
    const versionId = outrigger.coder.addVersion('foreign', { region: 'eu' });
    outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', { versionId, timing: finished });

    expect((await post({ profile: 'trusted' })).body.code).toBe('profile_not_allowed');
    const { status, body } = await post({ model: 'scripted/third' });
    expect(status).toBe(202);
    await stop(body.id);
  });

  it('cannot be asked while Coder is away, so nothing is accepted', async () => {
    build();
    outrigger.coder.fail('GET /api/v2/templateversions/{templateversion}/variables', 404);
    const answer = await post();
    outrigger.coder.heal();

    expect([answer.status, answer.body.code]).toEqual([503, 'template_bounds_hidden']);
  });
});

describe('the gateway holds a task to the models of its template', () => {
  const ask = (token: string, model: string) =>
    fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify({ model, stream: false, messages: [{ role: 'user', content: 'SCENARIO:text' }] }),
    });

  it('refuses a model that the service offers and the template does not, and lists only what it allows', async () => {
    const bridge = await bridgeOf(build());
    const { body } = await post({ profile: 'ask' });
    const lease = await takeLease(bridge);
    const before = outrigger.model.requests.length;

    expect([lease.task_id, lease.model, lease.profile]).toEqual([body.id, 'scripted/other', 'ask']);
    const refused = await ask(lease.task_token, 'scripted/third');
    expect(refused.status).toBe(422);
    expect(await refused.text()).toContain('scripted/test, scripted/other');
    expect(outrigger.model.requests.length).toBe(before);
    expect((await ask(lease.task_token, 'scripted/test')).status).toBe(200);
    const headers = { Authorization: `Bearer ${lease.task_token}` };
    const models = (await (await fetch(`${outrigger.url}/llm/v1/models`, { headers })).json()) as {
      data: { id: string }[];
    };
    expect(models.data.map(({ id }) => id)).toEqual(['scripted/test', 'scripted/other']);

    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    await eventually('the task to finish', async () => (await read(body.id)).state === 'finished');
    bridge.close();
  });
});
