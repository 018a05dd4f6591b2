import { DBOSClient } from '@dbos-inc/dbos-sdk';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { finished, instant } from '../support/coder/timeline.ts';
import { startTestService, type TestService } from '../support/service.ts';

const minuteMs = 60_000;

let outrigger: TestService;
let id: string;
beforeEach(async () => {
  outrigger = await startTestService();
  id = outrigger.workspace.id;
});
afterEach(() => outrigger.stop());

const limit = (body: unknown, target = `workspace/${id}`) =>
  outrigger.call(outrigger.people.admin, 'PUT', `/api/v2/agents/limits/${target}`, body);
const submit = async (): Promise<string> => {
  const payload = { action: 'generate_code', prompt: 'Do it', context: { workspace_id: id } };
  const body = { type: 'opencode', payload };
  const answer = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  expect(answer.status).toBe(202);
  return String(answer.body.id);
};
const end = async (task: string): Promise<void> => {
  const path = `/api/v2/agents/tasks/${task}`;
  await outrigger.call(outrigger.people.ada, 'POST', `${path}/stop`);
  await eventually('the task to end', async () => {
    const { body } = await outrigger.call(outrigger.people.ada, 'GET', path);
    return body.state === 'finished';
  });
};
const status = (): string => outrigger.coder.statusOf(id);
const isNow = (word: string) => eventually(`the workspace to be ${word}`, async () => status() === word);
const stopByHand = () => outrigger.coder.buildWorkspace(id, 'stop', { timing: finished });
/** A task whose workspace the service had to start, ended. */
async function workedInStopped(): Promise<void> {
  stopByHand();
  const task = await submit();
  await isNow('running');
  await end(task);
}

/** One round of the running service, as its own schedule makes it every minute. */
async function sweepAfter(minutes: number): Promise<void> {
  outrigger.clock.advance(minutes * minuteMs);
  const client = await DBOSClient.create({ systemDatabaseUrl: outrigger.database.url });
  try {
    const round = await client.triggerSchedule('standby');
    await round.getResult();
  } finally {
    await client.destroy();
  }
}

describe('standby of a workspace that the service started', () => {
  it('C-25 stops it once nothing used it for idleTimeout, in the audit of its owner, and a new task wakes it', async () => {
    const written = await limit({ standby: { idleTimeout: '30m' } });
    await workedInStopped();
    await sweepAfter(29);
    const before = status();
    await sweepAfter(2);
    await isNow('stopped');
    const builds = outrigger.coder.world.workspaces.get(id)?.builds.map((one) => [one.transition, one.initiatorId]);
    const { ada, admin } = outrigger.people;
    const { rows } = await outrigger.database.pool.query(
      `select action, outcome, actor, owner_id from audit_event
        where workspace_id = $1 and actor = 'service' and action in ('workspace.stopped', 'coder.changed') order by id`,
      [id],
    );

    expect(written.body).toMatchObject({ standby: { idleTimeout: '30m' } });
    expect(before).toBe('running');
    expect(builds?.slice(-2)).toEqual([
      ['start', admin.id],
      ['stop', admin.id],
    ]);
    expect(rows.map((row: Record<string, unknown>) => [row['action'], row['outcome'], row['owner_id']])).toEqual([
      ['coder.changed', 'intent', null],
      ['coder.changed', 'success', null],
      ['workspace.stopped', 'success', ada.id],
    ]);

    const next = await submit();
    await isNow('running');
    await end(next);
    await sweepAfter(31);
    await isNow('stopped');
  });

  it('takes the limit of the agent it was started for where it has none of its own', async () => {
    await limit({ standby: { idleTimeout: '1h30m' } }, 'agent/opencode');
    await workedInStopped();
    await sweepAfter(89);
    const before = status();
    await sweepAfter(2);

    expect(before).toBe('running');
    await isNow('stopped');
  });

  it('keeps it while a task is there, and without a limit for ever', async () => {
    await workedInStopped();
    await sweepAfter(600);
    const unlimited = status();
    await limit({ standby: { idleTimeout: '1m' } });
    // Nobody's bridge asks for it: it waits.
    const task = await submit();
    await sweepAfter(5);
    const waiting = status();
    await end(task);
    await sweepAfter(2);

    expect([unlimited, waiting]).toEqual(['running', 'running']);
    await isNow('stopped');
  });

  it('keeps it while a person uses it, for idleTimeout from then on', async () => {
    await limit({ standby: { idleTimeout: '30m' } });
    await workedInStopped();
    const workspace = outrigger.coder.world.workspaces.get(id);
    if (!workspace) throw new Error('no workspace');
    workspace.lastUsedAt = outrigger.clock.now().getTime() + 25 * minuteMs;
    await sweepAfter(40);
    const inUse = status();
    const asked = () => outrigger.coder.calls.filter((call) => call.path === `/api/v2/workspaces/${id}`).length;
    const once = asked();
    await sweepAfter(10);
    const twice = asked();
    await sweepAfter(6);

    expect(inUse).toBe('running');
    expect(twice).toBe(once);
    await isNow('stopped');
  });

  it('never stops what a person started', async () => {
    await limit({ standby: { idleTimeout: '1m' } });
    await end(await submit());
    await sweepAfter(60);
    const runningBefore = status();
    await workedInStopped();
    stopByHand();
    outrigger.coder.buildWorkspace(id, 'start', { timing: finished });
    await sweepAfter(60);
    await sweepAfter(60);

    expect([runningBefore, status()]).toEqual(['running', 'running']);
  });

  it('lets a task that comes while it stops wait for the end of that, and starts it again', async () => {
    await limit({ standby: { idleTimeout: '1m' } });
    await workedInStopped();
    outrigger.coder.world.timing = { ...instant, runningMs: 1_500 };
    await sweepAfter(2);
    const during = status();
    const task = await submit();
    await isNow('running');
    const { body } = await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${task}`);

    expect(['pending', 'stopping']).toContain(during);
    expect(body.state).toBe('starting');
    await end(task);
  });

  it('is tried again after an outage of Coder, and meanwhile no process tries twice', async () => {
    await limit({ standby: { idleTimeout: '1m' } });
    await workedInStopped();
    const route = 'POST /api/v2/workspaces/{workspace}/builds';
    const tries = () => outrigger.coder.calls.filter((call) => call.route === route).length;
    outrigger.coder.fail(route, 502);
    const before = tries();
    await sweepAfter(2);
    await sweepAfter(1);
    const failed = tries() - before;
    outrigger.coder.heal(route);
    await sweepAfter(2);

    expect(failed).toBe(1);
    await isNow('stopped');
  });

  it.each([
    ['soon', 'standby.idleTimeout'],
    ['30', 'standby.idleTimeout'],
    ['-5m', 'standby.idleTimeout'],
    ['5s', 'standby.idleTimeout'],
    ['9999h', 'standby.idleTimeout'],
    [30, 'standby.idleTimeout'],
    [undefined, 'standby.idleTimeout'],
  ])('refuses the idleTimeout %p and names the field', async (idleTimeout, path) => {
    const answer = await limit({ standby: { idleTimeout } });

    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((one: { path: string }) => one.path)).toContain(path);
    if (typeof idleTimeout === 'string') expect(JSON.stringify(answer.body.errors)).toContain('30m');
  });
});
