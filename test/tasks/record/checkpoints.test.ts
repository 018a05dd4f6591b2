import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startOutrigger } from '../../scripts/outrigger-process.ts';
import { takeLease, type FakeBridge } from '../../support/fake-bridge.ts';
import { startTestService, type TestService } from '../../support/service.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let taskId: string;
const commit = 'c'.repeat(40);
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
  const body = {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
  };
  await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  taskId = (await takeLease(bridge)).task_id;
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const path = () => `/api/v2/agents/tasks/${taskId}`;
const auditOf = async (action: string): Promise<{ outcome: string }[]> =>
  (
    await outrigger.database.pool.query<{ outcome: string }>(
      'select outcome from audit_event where action = $1 order by id',
      [action],
    )
  ).rows;

describe('checkpoints of a task', () => {
  it('are listed and restored in the workspace, refused over work that is not committed, and audited', async () => {
    const at = new Date().toISOString();
    bridge.answers.set('checkpoints', () => ({ checkpoints: [{ number: 1, commit, parent: commit, at }] }));
    bridge.answers.set('restoreCheckpoint', (payload) => ({
      applied: (payload as { force: boolean }).force,
      commit,
      saved: { number: 2, commit },
    }));
    const { ada, bob } = outrigger.people;
    const environment = {
      CODER_URL: outrigger.coder.url,
      CODER_SESSION_TOKEN: ada.token,
      OUTRIGGER_URL: outrigger.url,
    };

    const listed = await outrigger.call(ada, 'GET', `${path()}/checkpoints`);
    const refused = await outrigger.call(ada, 'POST', `${path()}/restore`, { number: 1 });
    const foreign = await outrigger.call(bob, 'POST', `${path()}/restore`, { number: 1 });
    const restored = await startOutrigger(['task', 'restore', taskId, '1', '--force'], environment).ended;

    expect(listed.body.items).toEqual([{ number: 1, commit, parent: commit, at }]);
    expect(refused).toMatchObject({ status: 409, body: { code: 'work_not_committed' } });
    expect(refused.body.detail).toContain('checkpoint 2');
    expect(foreign.status).toBe(404);
    expect(restored).toMatchObject({ status: 0, stdout: expect.stringContaining('is checkpoint 2') });
    expect(bridge.commands.find(({ type }) => type === 'restoreCheckpoint')?.payload).toMatchObject({
      task_id: taskId,
      branch: expect.stringMatching(/^agent\//),
      number: 1,
      force: false,
    });
    expect((await auditOf('task.checkpoint_restored')).map(({ outcome }) => outcome)).toEqual(['denied', 'success']);
  }, 60_000);
});

describe('DELETE /api/v2/agents/workspaces/{id}', () => {
  it('is refused while work is nowhere else or nobody can look, and done with force (part of D12)', async () => {
    const { ada, bob } = outrigger.people;
    const remove = (query = '', who = ada) =>
      outrigger.call(who, 'DELETE', `/api/v2/agents/workspaces/${outrigger.workspace.id}${query}`);
    const repository = {
      path: '/workspace/app',
      files: 2,
      commits: 1,
      branches: ['agent/x'],
      stashes: 0,
      checkpoints: 1,
    };
    bridge.answers.set('unpushedWork', () => ({ repositories: [repository] }));

    const foreign = await remove('', bob);
    const unpushed = await remove();
    bridge.answers.set('unpushedWork', () => ({ repositories: 'none, believe me' }));
    const lie = await remove();
    bridge.answers.set('unpushedWork', () => ({ repositories: [] }));
    const before = outrigger.coder.statusOf(outrigger.workspace.id);
    const nonsense = await remove('?force=yes');
    const done = await remove();

    expect([foreign.status, nonsense.status]).toEqual([404, 400]);
    expect(unpushed).toMatchObject({ status: 409, body: { code: 'work_unpushed' } });
    expect(unpushed.body.errors).toEqual([
      {
        path: '/workspace/app',
        message:
          '2 files are not committed; 1 commits are on no remote (agent/x); 1 checkpoints of tasks are on no remote',
      },
    ]);
    expect(lie).toMatchObject({ status: 409, body: { code: 'work_unknown' } });
    expect(before).toBe('running');
    expect(done).toMatchObject({ status: 202, body: { build_id: expect.any(String) } });
    expect(outrigger.coder.statusOf(outrigger.workspace.id)).toMatch(/^delet/);
    expect((await auditOf('workspace.delete_requested')).map(({ outcome }) => outcome)).toEqual([
      'denied',
      'denied',
      'intent',
      'success',
    ]);
  });

  it('cannot be looked into while it does not run', async () => {
    const { coder, people } = outrigger;
    const stopped = coder.addWorkspace({ owner: 'ada', name: 'stopped', running: false });
    const address = `/api/v2/agents/workspaces/${stopped.id}`;

    expect(await outrigger.call(people.ada, 'DELETE', address)).toMatchObject({
      status: 409,
      body: { code: 'work_unknown' },
    });
    expect((await outrigger.call(people.ada, 'DELETE', `${address}?force=true`)).status).toBe(202);
  });
});
