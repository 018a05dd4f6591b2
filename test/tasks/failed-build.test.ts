import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { finished } from '../support/coder/simulated-coder.ts';
import { startTestService, type Answer, type TestService } from '../support/service.ts';

let test: TestService;
beforeEach(async () => {
  test = await startTestService();
});
afterEach(async () => {
  await test.stop();
});

const never = Number.POSITIVE_INFINITY;
const buildRoute = 'GET /api/v2/workspacebuilds/{workspacebuild}';
const terraformError =
  'terraform apply: Error: Unable to create container: image registry.example.com/base@sha256:0 not found';

const submit = async (workspaceId: string): Promise<string> => {
  const { status, body } = await test.call(test.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Do it.', context: { workspace_id: workspaceId } },
  });
  expect([200, 201, 202]).toContain(status);
  return (body as { id: string }).id;
};
const task = (id: string): Promise<Answer> => test.call(test.people.ada, 'GET', `/api/v2/agents/tasks/${id}`);
const lookedAt = (buildId: string): boolean =>
  test.coder.calls.some(({ route, path }) => route === buildRoute && path.endsWith(buildId));
const newestBuild = (workspaceId: string) => test.coder.world.workspaces.get(workspaceId)?.builds.at(-1);

/** A stopped workspace for which the task's own start stays in the making. */
async function beingStarted(name: string): Promise<{ id: string; taskId: string }> {
  const { id } = test.coder.addWorkspace({ owner: 'ada', name, running: false });
  test.coder.world.timing = { ...finished, runningMs: never };
  const taskId = await submit(id);
  await eventually('the start', () => Promise.resolve(newestBuild(id)?.transition === 'start'));
  return { id, taskId };
}

describe('K-03 a task whose workspace is stopped', () => {
  it('starts it, follows that build by its id, and is failed with the error text of Coder when the build fails', async () => {
    const { id, taskId } = await beingStarted('failing');
    const build = newestBuild(id);
    if (!build) throw new Error('no build');
    await eventually('a look at the build', () => Promise.resolve(lookedAt(build.id)));
    expect((await task(taskId)).body).toMatchObject({ outcome: null, reason: 'AgentServerNotReady' });

    Object.assign(build, { timing: finished, ends: { status: 'failed', error: terraformError } });

    await eventually('the end', async () => (await task(taskId)).body.state === 'finished');
    const { body } = await task(taskId);
    expect(body).toMatchObject({ outcome: 'failed', reason: 'WorkspaceStopped' });
    expect(body.message).toContain(terraformError);
    expect(body.message).toContain('start it there');
    expect(newestBuild(id)?.id).toBe(build.id);
  });

  it('is failed as well when somebody cancels the build', async () => {
    const { id, taskId } = await beingStarted('canceled');
    Object.assign(newestBuild(id) ?? {}, { timing: finished, ends: { status: 'canceled' } });

    await eventually('the end', async () => (await task(taskId)).body.state === 'finished');
    expect((await task(taskId)).body).toMatchObject({
      outcome: 'failed',
      message: expect.stringContaining('was canceled'),
    });
  });

  it('goes on to the bridge when the build succeeds', async () => {
    const { id, taskId } = await beingStarted('fine');
    Object.assign(newestBuild(id) ?? {}, { timing: finished });

    const state = () =>
      test.database.pool.query<{ state: string }>('select state from outrigger.attempt where task_id = $1', [taskId]);
    await eventually('the offer', async () => (await state()).rows[0]?.state === 'offered');
    expect(newestBuild(id)?.transition).toBe('start');
  });
});
