import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { IdeReport, Lease, StopReceipt } from '../../modules/contract.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { makeCaller } from '../../service/coder/caller.ts';
import { makeCoder } from '../../service/coder/coder.ts';
import { makeAuthorize } from '../../service/identity/authorize.ts';
import { makeIdentity } from '../../service/identity/identity.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { makeWebServer, type WebServer } from '../../service/platform/web-server.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { makeCoderBuilds } from '../../service/workspaces/coder-builds.ts';
import { workspacesRoutes } from '../../service/workspaces/workspaces-routes.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Answer, type Person, type TestService } from '../support/service.ts';

const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'ide', 'status.recreating.response.json'), 'utf8'),
) as Record<string, unknown>;

let outrigger: TestService;
let room: WebServer;
let roomUrl: string;
let bridge: FakeBridge;
let stops: string[];

beforeEach(async () => {
  outrigger = await startTestService();
  stops = [];
  ({ web: room, url: roomUrl } = await startRoom());
});
afterEach(async () => {
  bridge?.close();
  await room.close(0);
  await outrigger.stop();
});

/** The workspaces' room on the running service's database, with what a new build needs; tasks end by the service. */
async function startRoom(): Promise<{ web: WebServer; url: string }> {
  const { database, clock, coder: simulated, people } = outrigger;
  const options = {
    url: simulated.url,
    serviceToken: people.admin.token,
    timeoutMs: 20_000,
    clock,
    log: silentLogger,
    record: () => undefined,
  };
  const coder = makeCoder(options);
  const identity = makeIdentity({ coder, clock });
  const open = () => Promise.resolve();
  const web = makeWebServer({
    clock,
    log: silentLogger,
    bodyLimitBytes: 65_536,
    guards: {
      open,
      proof: open,
      task: open,
      user: async (request, response) => {
        const caller = await identity.authenticate(request, response);
        response.locals['caller'] = caller;
        response.locals['actor'] = caller.actor;
      },
    },
    routes: workspacesRoutes({
      database,
      audit: makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger }),
      clock,
      authorize: makeAuthorize(coder),
      coderUrl: simulated.url,
      recreation: {
        coder,
        builds: makeCoderBuilds(makeCaller(options)),
        stopTask: async (taskId) => {
          stops.push(taskId);
          await outrigger.call(people.ada, 'POST', `/api/v2/agents/tasks/${taskId}/stop`);
        },
      },
    }),
  });
  const { host, port } = await web.listen({ host: '127.0.0.1', port: 0 });
  return { web, url: `http://${host}:${port}` };
}

const ask = async (method: string, body?: unknown, person: Person = outrigger.people.ada): Promise<Answer> => {
  const response = await fetch(`${roomUrl}/api/v2/agents/workspaces/${outrigger.workspace.id}/ide`, {
    method,
    headers: { 'Coder-Session-Token': person.token, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
};
const recreate = (person?: Person): Promise<Answer> => ask('POST', { recreate: true, confirm: true }, person);

/** Builds the workspace with this choice and registers its bridge. */
async function build(ideEnabled: string | null): Promise<void> {
  const parameters = ideEnabled === null ? {} : { ide_enabled: ideEnabled };
  const { agentId } = outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', { parameters });
  await running();
  bridge = await register(agentId);
}
const running = (): Promise<unknown> =>
  eventually('the workspace to run', () =>
    Promise.resolve(outrigger.coder.statusOf(outrigger.workspace.id) === 'running'),
  );
const register = async (agentId: string): Promise<FakeBridge> => {
  const { url, workspace, people, call } = outrigger;
  const { body } = await call(people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const proof = deriveProof((body as { secret: string }).secret, workspace.id, people.ada.id, agentId);
  return startFakeBridge({ url, proof, workspaceId: workspace.id, agentId });
};
const say = (ide: IdeReport): Promise<unknown> => bridge.request('heartbeat', { holding: [], status: 'idle', ide });
const failed: IdeReport = { enabled: true, phase: 'Failed', message: 'This workspace was built without an IDE.' };

const builds = () => outrigger.coder.world.workspaces.get(outrigger.workspace.id)?.builds ?? [];
/** What changed something in Coder, and whose token it carried. */
const changes = (): string[] =>
  outrigger.coder.calls
    .filter(({ method, route }) => method !== 'GET' && route !== 'POST /api/v2/authcheck')
    .map(({ route, token }) => `${route} ${token}`);
const audited = async () =>
  (
    await outrigger.database.pool.query<{ outcome: string; actor: string }>(
      `select outcome, actor from audit_event where action = 'workspace.recreated' order by id`,
    )
  ).rows;

async function leasedTask(): Promise<Lease> {
  const context = { workspace_id: outrigger.workspace.id };
  const body = { type: 'opencode', payload: { action: 'generate_code', prompt: 'Do it', context } };
  const { status } = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', body);
  expect(status).toBe(202);
  return takeLease(bridge);
}

describe('a workspace that was built without the IDE', () => {
  it('ends its tasks with a receipt, is built anew by the caller’s own token, and says so until its bridge is back (part of I-21 and I-22)', async () => {
    await build('false');
    const lease = await leasedTask();
    const before = builds().length;
    const asking = recreate();
    const stop = await eventually('the command to stop', () =>
      Promise.resolve(bridge.commands.find(({ type }) => type === 'stop')),
    );
    const whileStopping = { status: await ask('GET'), builds: builds().length };
    const receipt: StopReceipt = {
      stopped_at: new Date().toISOString(),
      method: 'abort',
      processes_left: 0,
      tokens_after_stop: 0,
    };
    await bridge.request('result', {
      task_id: lease.task_id,
      attempt: lease.attempt,
      evidence: goodEvidence({ stop: receipt }),
    });
    const answer = await asking;
    await say(failed);
    const whileBuilding = await ask('GET');
    const built = builds().at(-1);
    await running();
    bridge.close();
    bridge = await register(built?.agent?.id ?? '');
    const back = await ask('GET');
    await say({ enabled: true, phase: 'Ready', message: '' });

    expect(stop.payload).toMatchObject({ task_id: lease.task_id });
    expect(stops).toEqual([lease.task_id]);
    expect(whileStopping).toMatchObject({ status: { body: fixture }, builds: before });
    expect([answer.status, answer.body]).toEqual([202, { phase: 'Recreating' }]);
    expect(whileBuilding.body).toEqual(fixture);
    expect(builds().length).toBe(before + 1);
    expect(built).toMatchObject({ transition: 'start', parameters: { ide_enabled: 'true' } });
    expect(changes()).toEqual(['POST /api/v2/workspaces/{workspace}/builds ada']);
    expect(back.body.idePhase).toBe('Pending');
    expect((await ask('GET')).body.idePhase).toBe('Ready');
    const task = await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${lease.task_id}`);
    expect(task.body).toMatchObject({ state: 'finished', outcome: 'stopped' });
    const actor = `user:${outrigger.people.ada.id}`;
    expect(await audited()).toEqual([
      { outcome: 'intent', actor },
      { outcome: 'success', actor },
    ]);
  });

  it('is built once, however often it is asked for, and fails with its build', async () => {
    await build('false');
    await say(failed);
    const before = builds().length;
    const answers = [await recreate(), await recreate()];
    outrigger.coder.buildWorkspace(outrigger.workspace.id, 'start', { ends: { status: 'failed', error: 'no room' } });
    await eventually('the build to fail', () =>
      Promise.resolve(outrigger.coder.statusOf(outrigger.workspace.id) === 'failed'),
    );

    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    expect(builds().length).toBe(before + 2);
    expect((await ask('GET')).body).toMatchObject({
      idePhase: 'Failed',
      ideMessage: expect.stringMatching(/build .* failed\. Look at its log in Coder/),
    });
  });

  it('goes on as it was where Coder refuses the build, and where a build never began', async () => {
    await build('false');
    outrigger.coder.fail('POST /api/v2/workspaces/{workspace}/builds', 400, { times: 1 });
    const refused = await recreate();
    const after = await ask('GET');
    await recreate();
    const begun = await ask('GET');
    outrigger.clock.advance(16 * 60_000);

    expect(refused.status).toBe(400);
    expect(after.body).toEqual({ idePhase: 'Disabled', ideMessage: '' });
    expect(begun.body).toEqual(fixture);
    expect((await ask('GET')).body.idePhase).not.toBe('Recreating');
    expect((await audited()).map(({ outcome }) => outcome)).toEqual(['intent', 'failure', 'intent', 'success']);
  });
});

describe('a new build that is not made', () => {
  it.each<[string, string | null, IdeReport | null, unknown, number, string]>([
    ['without consent', 'false', null, { recreate: true }, 409, 'ide_needs_build'],
    ['where the IDE was built in', 'true', failed, { recreate: true, confirm: true }, 409, 'ide_needs_no_build'],
    [
      'where the IDE runs',
      'false',
      { enabled: true, phase: 'Ready', message: '' },
      { recreate: true, confirm: true },
      409,
      'ide_needs_no_build',
    ],
    ['where the image has no IDE', null, failed, { recreate: true, confirm: true }, 409, 'ide_not_in_image'],
  ])('is refused %s, with a sentence, and nothing ends', async (_title, chosen, report, body, status, code) => {
    await build(chosen);
    if (report) await say(report);
    await leasedTask();
    const before = builds().length;
    const answer = await ask('POST', body);

    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.detail.length).toBeGreaterThan(40);
    expect([builds().length - before, stops, await audited()]).toEqual([0, [], []]);
  });

  it('is refused to somebody who may use the workspace but not build it, before any task ends', async () => {
    await build('false');
    await leasedTask();
    const narrow = outrigger.coder.addToken({
      owner: 'ada',
      name: 'narrow',
      scopes: ['coder:workspaces.access', 'user:read'],
    });
    const before = builds().length;
    const answer = await recreate({ id: outrigger.people.ada.id, token: narrow });
    const stranger = await recreate(outrigger.people.bob);

    expect([answer.status, answer.body.code]).toEqual([403, 'workspace_start_forbidden']);
    expect(stranger.status).toBe(404);
    expect([builds().length - before, stops, await audited()]).toEqual([0, [], []]);
  });
});
