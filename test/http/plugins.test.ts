import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { HarnessParts } from '../../modules/contract.ts';
import { makeCallBridge } from '../../service/bridge/call-bridge.ts';
import { makePartsReader } from '../../service/bridge/harness-parts.ts';
import { makeListener } from '../../service/platform/listener.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { eventually } from '../support/clock.ts';
import { registerBridge, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const path = '/api/v2/agents/opencode/plugins';
const canary = 'canary-Jx72';

const report = (name: string): HarnessParts => ({
  plugins: [{ name: 'outrigger', kind: 'file' }],
  skills: [{ name: 'deploy', kind: 'repository' }],
  mcp_servers: [{ name, kind: 'local', enabled: true }],
  lsp_servers: [{ name: 'gopls', enabled: false }],
});

let outrigger: TestService;
let bridge: FakeBridge;

const item = async (query = `?workspace_id=${outrigger.workspace.id}`, who = outrigger.people.ada) => {
  const { status, body } = await outrigger.call(who, 'GET', path + query);
  expect([status, body.next_cursor]).toEqual([200, null]);
  return body.items[0];
};
const timesAsked = (): number => bridge.commands.filter(({ type }) => type === 'plugins').length;
const connect = async (answer: unknown): Promise<FakeBridge> => {
  const connected = await outrigger.bridge();
  connected.answers.set('plugins', () => answer);
  return connected;
};
const gone = async (): Promise<void> => {
  bridge.close();
  // Not over the route: a question that meets a closing bridge waits for its answer until it is late.
  await eventually('the bridge to be gone', async () => {
    const { rows } = await outrigger.database.pool.query('select 1 from bridge where connected');
    return rows.length === 0;
  });
};

beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(() => outrigger.stop());

describe('what OpenCode loads in a workspace', () => {
  it('is empty and stale, without a time, where no bridge ever said anything', async () => {
    expect(await item('')).toEqual({
      workspace_id: outrigger.workspace.id,
      workspace: 'ws-123',
      connected: false,
      stale: true,
      reported_at: null,
      harness_version: null,
      capabilities: [],
      plugins: [],
      skills: [],
      mcp_servers: [],
      lsp_servers: [],
    });
  });

  it('S-22 S-93 is asked of the bridge once in 60 s, and at once after a registration, on every replica', async () => {
    bridge = await connect(report('first'));
    const { database, clock } = outrigger;
    let otherAsked = 0;
    const listener = makeListener({ url: database.url, log: silentLogger });
    const call = makeCallBridge({ database, listener, clock });
    await listener.start();
    const otherReplica = makePartsReader({
      database,
      clock,
      callBridge: (id, type, payload) => ((otherAsked += 1), call(id, type, payload)),
    });

    const first = await item();
    expect(first).toEqual({
      workspace_id: outrigger.workspace.id,
      workspace: 'ws-123',
      connected: true,
      stale: false,
      reported_at: expect.any(String),
      harness_version: '0.0.0-test',
      capabilities: [],
      ...report('first'),
    });
    bridge.answers.set('plugins', () => report('later'));
    expect(await Promise.all([item(), item(''), item('?workspace_id=ws-123')])).toEqual([first, first, first]);
    expect(timesAsked()).toBe(1);
    await otherReplica(outrigger.workspace.id);
    await otherReplica(outrigger.workspace.id);
    expect(otherAsked).toBe(1);

    clock.advance(60_000);
    expect((await item()).mcp_servers[0].name).toBe('later');
    expect(timesAsked()).toBe(3);
    await otherReplica(outrigger.workspace.id);
    await otherReplica(outrigger.workspace.id);
    expect(otherAsked).toBe(2);

    // The same workspace, another build: what it has may be something else. Nobody goes on with what was remembered.
    const before = bridge;
    const options = { url: outrigger.url, workspaceId: outrigger.workspace.id, agentId: outrigger.workspace.agentId };
    expect((await registerBridge({ ...options, proof: await outrigger.proof() })).status).toBe(201);
    expect(await item()).toMatchObject({ connected: false, stale: true, mcp_servers: [{ name: 'later' }] });
    expect(await otherReplica(outrigger.workspace.id)).toMatchObject({ connected: false, isStale: true });
    bridge = await connect(report('rebuilt'));
    const rebuilt = await eventually('the new bridge', async () => ((await item()).connected ? item() : null));
    expect(rebuilt).toMatchObject({ stale: false, mcp_servers: [{ name: 'rebuilt' }] });
    expect(await before.closed).toBe(4409);
    expect((await otherReplica(outrigger.workspace.id)).parts).toEqual(report('rebuilt'));
    expect(otherAsked).toBe(3);
    await listener.stop();
  });

  it('is what was last known, with its time, where no bridge is there or answers', async () => {
    const live = await item();
    await gone();
    const known = await item();
    expect(known).toEqual({ ...live, connected: false, stale: true, reported_at: expect.any(String) });
    expect(Date.parse(known.reported_at)).toBeGreaterThanOrEqual(Date.parse(live.reported_at));

    // A bridge of an older image does not know the question.
    bridge = await connect({ nonsense: true });
    await eventually('the bridge', async () => (await item()).connected);
    expect(await item()).toEqual({ ...known, connected: true, stale: true });
  });

  it('holds names and kinds only, whatever else a workspace says', async () => {
    const [server] = report('calc').mcp_servers;
    await gone();
    bridge = await connect({
      ...report('calc'),
      mcp_servers: [{ ...server, command: ['run', canary], environment: { KEY: canary }, headers: { key: canary } }],
      environment: canary,
    });
    await eventually('the bridge', async () => !(await item()).stale);
    const answer = await item();
    expect(answer.mcp_servers).toEqual(report('calc').mcp_servers);

    for (const tooMuch of [
      { ...report('calc'), skills: Array.from({ length: 201 }, (_, n) => ({ name: `s${n}`, kind: 'installed' })) },
      report('x'.repeat(101)),
      report('tab\tname'),
      report('\u001b[2J'),
    ]) {
      outrigger.clock.advance(60_000);
      bridge.answers.set('plugins', () => tooMuch);
      expect(await item()).toEqual({ ...answer, stale: true });
    }
    const { rows } = await outrigger.database.pool.query('select parts::text from harness_parts');
    expect(JSON.stringify(rows)).not.toContain(canary);
    expect(outrigger.log()).not.toContain(canary);
  });

  it('is nobody else’s: 404, as for a workspace that is not there', async () => {
    const { bob } = outrigger.people;
    const asked = timesAsked();
    const hers = await outrigger.call(bob, 'GET', `${path}?workspace_id=${outrigger.workspace.id}`);
    const nobodys = await outrigger.call(bob, 'GET', `${path}?workspace_id=1f0c8f7e-0000-4000-8000-000000000000`);

    expect([hers.status, nobodys.status]).toEqual([404, 404]);
    expect(hers.body.code).toBe(nobodys.body.code);
    expect((await outrigger.call(bob, 'GET', path)).body).toEqual({ items: [], next_cursor: null });
    expect((await outrigger.call(null, 'GET', path)).status).toBe(401);
    expect(timesAsked()).toBe(asked);
  });
});
