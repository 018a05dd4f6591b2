import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { makeCoder, type Coder, type CoderCall, type CoderOptions } from '../../service/coder/coder.ts';
import { decideStart } from '../../service/coder/workspace.ts';
import { systemClock } from '../../service/platform/clock.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { finished, startSimulatedCoder, type SimulatedCoder } from '../support/coder/simulated-coder.ts';

const context = { actor: 'user:1', requestId: 'request-1' };
const buildRoute = 'POST /api/v2/workspaces/{workspace}/builds';
const workspaceRoute = 'GET /api/v2/workspaces/{workspace}';
const me = 'GET /api/v2/users/me';

let simulated: SimulatedCoder;
let alice: { id: string; token: string };
let bob: { id: string; token: string };
let service: { id: string; token: string };
let recorded: CoderCall[];
let coder: Coder;

const make = (options: Partial<CoderOptions> = {}): Coder =>
  makeCoder({
    url: simulated.url,
    serviceToken: service.token,
    timeoutMs: 5_000,
    clock: systemClock,
    log: silentLogger,
    record: (call) => void recorded.push(call),
    ...options,
  });

beforeEach(async () => {
  simulated = await startSimulatedCoder({ timing: finished });
  alice = simulated.addUser({ username: 'alice', name: 'Alice A.' });
  bob = simulated.addUser({ username: 'bob' });
  service = simulated.addUser({ username: 'outrigger', roles: ['organization-admin'] });
  recorded = [];
  coder = make();
});
afterEach(() => simulated.close());

async function failureOf(act: Promise<unknown>): Promise<Pick<ServiceError, 'kind' | 'code' | 'message' | 'errors'>> {
  const error: unknown = await act.then(
    () => new Error('it succeeded'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ServiceError) return error;
  throw error;
}
const codeOf = async (act: Promise<unknown>): Promise<readonly string[]> => {
  const { kind, code } = await failureOf(act);
  return [kind, code];
};
const countOf = (route: string): number => simulated.calls.filter((call) => call.route === route).length;

describe('whose token it is', () => {
  it('is asked of Coder', async () => {
    expect(await coder.whoIs(alice.token, context)).toEqual({
      id: alice.id,
      username: 'alice',
      name: 'Alice A.',
      email: 'alice@example.test',
      organizationIds: [simulated.organizationId],
    });
  });

  it('is unauthenticated for a token that Coder does not know', async () => {
    expect(await codeOf(coder.whoIs(`aaaaaaaaaa-${'b'.repeat(22)}`, context))).toEqual([
      'unauthenticated',
      'coder_token_refused',
    ]);
  });

  it.each(['', ' ', 'a\nb', 'schlüssel', '🔑'])('is unauthenticated for %p, which is not even sent', async (token) => {
    expect(await codeOf(coder.whoIs(token, context))).toEqual(['unauthenticated', 'coder_token_refused']);
    expect(simulated.calls).toEqual([]);
  });

  it('is forbidden, and says which scope is missing, for a token that may not read its user', async () => {
    const narrow = simulated.addToken({ owner: 'alice', name: 'narrow', scopes: ['coder:workspaces.create'] });

    const error = await failureOf(coder.whoIs(narrow, context));

    expect([error.kind, error.code]).toEqual(['forbidden', 'scope_missing']);
    expect(error.message).toContain('user:read');
  });

  it('works with the two scopes that people are told to delegate', async () => {
    const scopes = ['coder:workspaces.create', 'user:read'];
    const delegated = simulated.addToken({ owner: 'alice', name: 'delegated', scopes });

    expect((await coder.whoIs(delegated, context)).id).toBe(alice.id);
  });
});

describe('S-33 finding a workspace', () => {
  it('takes a UUID, owner/name, and the name of one of the caller', async () => {
    const { id, agentId } = simulated.addWorkspace({ owner: 'alice', name: 'dev-box', running: true });

    for (const reference of [id, 'alice/dev-box', 'dev-box']) {
      expect(await coder.findWorkspace(alice.token, reference, context)).toEqual({
        id,
        name: 'dev-box',
        ownerId: alice.id,
        ownerName: 'alice',
        organizationId: simulated.organizationId,
        organizationName: 'coder',
        templateName: 'docker',
        status: 'running',
        transition: 'start',
        jobStatus: 'succeeded',
        lastUsedAt: expect.any(String),
        buildId: expect.any(String),
        templateVersionId: expect.any(String),
        agents: [{ id: agentId, name: 'main', status: 'connected', lifecycleState: 'ready' }],
      });
    }
  });

  it("answers not found for somebody else's, by every kind of reference", async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });

    for (const reference of [id, 'alice/dev', 'dev', randomUUID(), 'alice/none', 'nobody/dev'])
      expect(await codeOf(coder.findWorkspace(bob.token, reference, context))).toEqual(['not_found', 'not_found']);
  });

  it('answers not found for a deleted one', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    simulated.buildWorkspace(id, 'delete');

    for (const reference of [id, 'dev'])
      expect(await codeOf(coder.findWorkspace(alice.token, reference, context))).toEqual(['not_found', 'not_found']);
  });

  it.each(['', '.', '..', '../me', 'a/../b', 'a/b/c', '/', 'a/', 'a b', 'x?q=1', 'ü'])(
    'asks nothing of Coder for %p, which cannot be a name',
    async (reference) => {
      expect(await codeOf(coder.findWorkspace(alice.token, reference, context))).toEqual(['not_found', 'not_found']);
      expect(simulated.calls).toEqual([]);
    },
  );

  it("lists the caller's own and nobody else's", async () => {
    simulated.addWorkspace({ owner: 'alice', name: 'one', running: true });
    simulated.addWorkspace({ owner: 'alice', name: 'two', running: false });
    simulated.addWorkspace({ owner: 'bob', name: 'his', running: true });

    const found = await coder.listOwnWorkspaces(alice.token, context);

    expect(found.map(({ name, status }) => [name, status])).toEqual([
      ['one', 'running'],
      ['two', 'stopped'],
    ]);
  });
});

describe('S-33 what a caller may do', () => {
  const actions = ['read', 'ssh', 'start', 'fly'];

  it("is asked with the caller's token, never with the service's", async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });

    expect(await coder.may(alice.token, id, actions, context)).toEqual({
      read: true,
      ssh: true,
      start: true,
      fly: false,
    });
    expect(await coder.may(bob.token, id, actions, context)).toEqual({
      read: false,
      ssh: false,
      start: false,
      fly: false,
    });
    expect(simulated.calls.map((call) => [call.route, call.token])).toEqual([
      ['POST /api/v2/authcheck', 'alice'],
      ['POST /api/v2/authcheck', 'bob'],
    ]);
  });

  it('depends on the scopes of the token, too', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    const reader = simulated.addToken({ owner: 'alice', name: 'reader', scopes: ['workspace:read'] });

    expect(await coder.may(reader, id, actions, context)).toEqual({ read: true, ssh: false, start: false, fly: false });
  });

  it('is asked in portions that Coder accepts', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    const many = Array.from({ length: 23 }, (_none, index) => (index === 22 ? 'ssh' : `action-${index}`));

    const answers = await coder.may(alice.token, id, many, context);

    expect(Object.entries(answers).filter(([, allowed]) => allowed)).toEqual([['ssh', true]]);
    expect(countOf('POST /api/v2/authcheck')).toBe(3);
  });

  it('is nothing for what is no workspace id', async () => {
    expect(await coder.may(alice.token, 'dev', ['read'], context)).toEqual({ read: false });
    expect(simulated.calls).toEqual([]);
  });
});

describe("reading with the service's own token", () => {
  it('sees every workspace, and null where there is none', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });

    expect((await coder.readWorkspace(id, context))?.ownerId).toBe(alice.id);
    expect(await coder.readWorkspace(randomUUID(), context)).toBeNull();
    expect(await coder.readWorkspace('..', context)).toBeNull();
    expect(simulated.calls.map((call) => call.token)).toEqual(['outrigger', 'outrigger']);
  });

  it("never tells a caller that the service's token is bad", async () => {
    simulated.suspend('outrigger');

    expect(await codeOf(coder.readWorkspace(randomUUID(), context))).toEqual(['unavailable', 'service_token_refused']);
  });
});

describe('making sure that a workspace runs', () => {
  it('starts a stopped one, once', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });

    expect(await coder.ensureRunning(id, context)).toBe('starting');
    expect(await coder.ensureRunning(id, context)).toBe('running');
    expect(countOf(buildRoute)).toBe(1);
    expect(simulated.statusOf(id)).toBe('running');
  });

  it('never starts a running one: its containers and its agent would be replaced', async () => {
    const { id, agentId } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });

    expect(await coder.ensureRunning(id, context)).toBe('running');
    expect(countOf(buildRoute)).toBe(0);
    expect((await coder.readWorkspace(id, context))?.agents.map((agent) => agent.id)).toEqual([agentId]);
  });

  it('waits for a start that is on its way', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    const never = Number.POSITIVE_INFINITY;

    for (const timing of [
      { ...finished, pendingMs: never },
      { ...finished, runningMs: never },
    ]) {
      simulated.buildWorkspace(id, 'start', { timing });
      expect(await coder.ensureRunning(id, context)).toBe('starting');
    }
    expect(countOf(buildRoute)).toBe(0);
  });

  it('starts nothing when somebody was faster', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    simulated.fail(buildRoute, 409, { times: 1 });

    expect(await coder.ensureRunning(id, context)).toBe('starting');
    expect(countOf(buildRoute)).toBe(1);
  });

  it.each([
    ['stopping', 'stop', { timing: { ...finished, runningMs: Number.POSITIVE_INFINITY } }],
    ['failed', 'start', { ends: { status: 'failed' } }],
    ['canceled', 'start', { ends: { status: 'canceled' } }],
    ['deleting', 'delete', { timing: { ...finished, runningMs: Number.POSITIVE_INFINITY } }],
  ] as const)('leaves a %s one to a person', async (status, transition, build) => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    simulated.buildWorkspace(id, transition, build);
    expect(simulated.statusOf(id)).toBe(status);

    expect(await coder.ensureRunning(id, context)).toEqual({ refused: expect.stringContaining('Workspace dev') });
    expect(countOf(buildRoute)).toBe(0);
  });

  it('says so when the workspace is gone', async () => {
    expect(await coder.ensureRunning(randomUUID(), context)).toEqual({
      refused: expect.stringContaining('does not exist'),
    });
  });

  it('says what is missing when the service may read but not start', async () => {
    const { token } = simulated.addUser({ username: 'reader', roles: ['organization-template-admin'] });
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });

    const answer = await make({ serviceToken: token }).ensureRunning(id, context);

    expect(answer).toEqual({ refused: expect.stringContaining('organization-admin') });
    expect(simulated.statusOf(id)).toBe('stopped');
  });

  it('starts only what is plainly stopped, whatever words Coder adds', () => {
    const decide = (status: string, transition: string) => decideStart({ name: 'dev', status, transition });

    expect(decide('stopped', 'stop')).toBe('start');
    expect(decide('pending', 'stop')).toEqual({ refused: expect.stringContaining('pending') });
    expect(decide('hibernating', 'stop')).toEqual({ refused: expect.stringContaining('hibernating') });
  });
});

describe('every call to Coder is told', () => {
  const times = { at: expect.any(Date), durationMs: expect.any(Number) };

  it('once for a question, twice for a change: before it as an intent, after it with its outcome', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });

    await coder.ensureRunning(id, context);

    const common = { ...context, ...times, pathParameters: { workspace: id }, error: null };
    const build = { method: 'POST', route: '/api/v2/workspaces/{workspace}/builds' };
    expect(recorded).toEqual([
      { ...common, phase: 'read', method: 'GET', route: '/api/v2/workspaces/{workspace}', status: 200 },
      { ...common, ...build, phase: 'intent', status: null, durationMs: null },
      { ...common, ...build, phase: 'outcome', status: 201 },
    ]);
  });

  it('also when it fails, and without the token', async () => {
    await failureOf(coder.findWorkspace(bob.token, randomUUID(), context));

    expect(recorded.map((call) => [call.phase, call.status, call.error])).toEqual([['read', 404, 'not_found']]);
    expect(JSON.stringify(recorded)).not.toContain(bob.token);
  });

  it('before anything is changed: an intent that cannot be written stops the change', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    const unwritable = make({
      record: (call) => (call.phase === 'intent' ? Promise.reject(new Error('no audit, no change')) : undefined),
    });

    await expect(unwritable.ensureRunning(id, context)).rejects.toThrow('no audit, no change');
    expect(countOf(buildRoute)).toBe(0);
    expect(simulated.statusOf(id)).toBe('stopped');
  });
});

describe('when Coder has trouble', () => {
  it('asks again after a passing failure', async () => {
    simulated.fail(me, 503, { times: 2 });

    expect((await coder.whoIs(alice.token, context)).id).toBe(alice.id);
    expect(recorded.map((call) => call.status)).toEqual([503, 503, 200]);
  });

  it('gives up after three tries', async () => {
    simulated.fail(me, 502);

    expect(await codeOf(coder.whoIs(alice.token, context))).toEqual(['unavailable', 'coder_unavailable']);
    expect(countOf(me)).toBe(3);
  });

  it('never repeats a change', async () => {
    const { id } = simulated.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    simulated.fail(buildRoute, 503);

    expect(await codeOf(coder.ensureRunning(id, context))).toEqual(['unavailable', 'coder_unavailable']);
    expect(countOf(buildRoute)).toBe(1);
  });

  it('does not ask again what was refused', async () => {
    simulated.fail(me, 429, { headers: { 'Retry-After': '60' } });

    const error = await failureOf(coder.whoIs(alice.token, context));

    expect(error).toMatchObject({ kind: 'rate_limited', retryAfterSeconds: 60 });
    expect(countOf(me)).toBe(1);
  });

  it('leaves Coder alone after eight failures in a row', async () => {
    simulated.fail(workspaceRoute, 503);
    for (let round = 0; round < 3; round += 1) await failureOf(coder.readWorkspace(randomUUID(), context));
    const before = simulated.calls.length;
    expect(before).toBe(8);

    expect(await codeOf(coder.whoIs(alice.token, context))).toEqual(['unavailable', 'coder_unavailable']);
    expect(simulated.calls.length).toBe(before);
  });

  it('keeps the breaker closed when Coder merely refuses', async () => {
    for (let round = 0; round < 12; round += 1) await failureOf(coder.findWorkspace(bob.token, randomUUID(), context));

    expect((await coder.whoIs(alice.token, context)).id).toBe(alice.id);
  });

  it('ends a call that hangs, without a second try', async () => {
    simulated.stall(me);

    expect(await codeOf(make({ timeoutMs: 100 }).whoIs(alice.token, context))).toEqual([
      'unavailable',
      'coder_unavailable',
    ]);
    expect(countOf(me)).toBe(1);
  });

  it('reports an answer that is not from Coder', async () => {
    simulated.fail(me, 200, { text: '<html>welcome</html>', headers: { 'Content-Type': 'text/html' } });

    expect(await codeOf(coder.whoIs(alice.token, context))).toEqual(['unavailable', 'coder_unexpected_answer']);
  });

  it('is away when nobody listens', async () => {
    const { url } = simulated;
    await simulated.close();

    expect(await codeOf(make({ url }).whoIs(alice.token, context))).toEqual(['unavailable', 'coder_unavailable']);
    simulated = await startSimulatedCoder();
  });

  it('keeps its connection between calls', async () => {
    for (let round = 0; round < 10; round += 1) await coder.whoIs(alice.token, context);

    expect(simulated.connections).toBeLessThanOrEqual(2);
  });
});
