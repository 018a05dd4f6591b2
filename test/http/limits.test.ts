import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

const limits = '/api/v2/agents/limits';

let outrigger: TestService;
let orgAdmin: Person;
beforeAll(async () => {
  outrigger = await startTestService();
  orgAdmin = outrigger.people.admin;
});
afterAll(async () => {
  await outrigger.stop();
});

describe('limits over HTTP (part of S-108)', () => {
  it('C-25 are written by an admin in its words, read by members, and hold from the next task on', async () => {
    const { ada } = outrigger.people;
    const body = {
      maxConcurrentTasks: 5,
      quota: { maxTaskStarts: 1, windowSeconds: 3600 },
      standby: { idleTimeout: '30m' },
    };
    const path = `${limits}/workspace/${outrigger.workspace.id}`;
    const written = await outrigger.call(orgAdmin, 'PUT', path, body);
    const submit = async () =>
      (
        await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', {
          type: 'opencode',
          payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
        })
      ).body.id as string;
    const task = async (id: string) => (await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${id}`)).body;

    expect(written.status).toBe(200);
    expect(written.body).toMatchObject({ kind: 'workspace', target: outrigger.workspace.id, ...body });
    expect((await outrigger.call(ada, 'GET', limits)).body.items).toEqual([written.body]);

    const first = await submit();
    await eventually('the first to start', async () => (await task(first)).state === 'starting');
    await outrigger.call(ada, 'POST', `/api/v2/agents/tasks/${first}/stop`);
    await eventually('the first to end', async () => (await task(first)).state === 'finished');
    const second = await submit();
    await eventually('the second to wait', async () => (await task(second)).reason === 'QuotaExceeded');
    expect((await outrigger.call(orgAdmin, 'DELETE', path)).status).toBe(204);
    await eventually('the second to start', async () => (await task(second)).state === 'starting');
    expect((await outrigger.call(orgAdmin, 'DELETE', path)).status).toBe(404);
  });

  it.each([
    ['a limit that limits nothing', 'agent/opencode', {}, 400],
    ['an unknown word', 'agent/opencode', { maxConcurrentTasks: 1, colour: 'red' }, 400],
    ['a standby without its time', 'agent/opencode', { standby: {} }, 400],
    ['half a quota', 'agent/opencode', { quota: { maxTaskStarts: 1 } }, 400],
    ['a negative number', 'agent/opencode', { maxConcurrentTasks: -1 }, 400],
    ['an agent that does not exist', 'agent/robot', { maxConcurrentTasks: 1 }, 422],
    ['a workspace that is no id', 'workspace/ws-123', { maxConcurrentTasks: 1 }, 404],
    ['another kind of thing', 'person/ada', { maxConcurrentTasks: 1 }, 400],
  ])('refuse %s', async (_title, target, body, status) => {
    expect((await outrigger.call(orgAdmin, 'PUT', `${limits}/${target}`, body)).status).toBe(status);
  });

  it('are not for members to write', async () => {
    const answer = await outrigger.call(outrigger.people.ada, 'PUT', `${limits}/agent/opencode`, {
      maxConcurrentTasks: 100,
    });

    expect(answer.status).toBe(403);
    expect((await outrigger.call(outrigger.people.ada, 'GET', limits)).body.items).toEqual([]);
  });
});
