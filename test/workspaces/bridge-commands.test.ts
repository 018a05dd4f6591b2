import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { makeGitIdentity } from '../../service/bridge/git-identity.ts';
import { makeCallBridge } from '../../service/bridge/call-bridge.ts';
import { makeListener } from '../../service/platform/listener.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { eventually } from '../support/clock.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Answer, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
let bridge: FakeBridge;
let sent: { type: string; payload: Record<string, unknown> }[];

const path = '/api/container';
const post = (body: unknown, who: Person | null = outrigger.people.ada, where = path): Promise<Answer> =>
  outrigger.call(who, 'POST', where, body);
const inWorkspace = (more: Record<string, unknown>): Record<string, unknown> => ({
  workspace_id: outrigger.workspace.id,
  ...more,
});
const output = { stdout: 'out', stderr: '', exitCode: 0, truncated: false };
const audit = async (id: string): Promise<{ outcome: string; data: Record<string, unknown> }[]> => {
  const { rows } = await outrigger.database.pool.query(
    `select outcome, data from audit_event where action = 'workspace.command' and target_id = $1 order by at`,
    [id],
  );
  return rows as never;
};
const decide = (approvalId: string, decision: string, who = outrigger.people.ada): Promise<Answer> =>
  outrigger.call(who, 'POST', `/api/v2/agents/approvals/${approvalId}/decision`, { decision });

beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_PROFILE: 'trusted' });
  bridge = await outrigger.bridge();
  const answers: Record<string, unknown> = {
    readFile: 'text of the file',
    listFiles: [{ name: 'src', isDirectory: true }],
    runCommand: output,
    writeFile: {},
    searchCode: '',
    gitCommit: { commit: 'a'.repeat(40), branch: 'main', files: 1 },
  };
  for (const [type, data] of Object.entries(answers))
    bridge.answers.set(type, (payload) => (sent.push({ type, payload: payload as never }), data));
});
beforeEach(() => {
  sent = [];
});
afterAll(() => outrigger.stop());

describe('commands to the bridge of a workspace (third part of P-98)', () => {
  it('go out and come back in the envelope, at both addresses, and are audited without their contents', async () => {
    const id = randomUUID();
    const { status, body } = await post(inWorkspace({ id, type: 'readFile', payload: { path: 'src/a.ts' } }));

    expect([status, body]).toEqual([200, { id, success: true, data: 'text of the file' }]);
    expect(sent).toEqual([{ type: 'readFile', payload: { path: 'src/a.ts', profile: 'ask' } }]);
    const where = `/api/v2/agents/workspaces/${outrigger.workspace.id}/commands`;
    expect((await post({ type: 'listFiles' }, undefined, where)).body).toEqual({
      id: expect.any(String),
      success: true,
      data: [{ name: 'src', isDirectory: true }],
    });
    const [intent, end] = await audit(id);
    expect([intent?.outcome, end?.outcome]).toEqual(['intent', 'success']);
    expect(end?.data).toEqual({ type: 'readFile', path: 'src/a.ts', profile: 'ask', command_hash: expect.any(String) });
    expect(JSON.stringify(await audit(id))).not.toContain('text of the file');
  });

  it('are nobody else’s: 404 as for a workspace that is not there, and nothing is sent', async () => {
    const hers = await post(inWorkspace({ type: 'readFile', payload: { path: 'a' } }), outrigger.people.bob);
    const nobodys = await post(
      { workspace_id: randomUUID(), type: 'readFile', payload: { path: 'a' } },
      outrigger.people.bob,
    );

    expect([hers.status, nobodys.status, hers.body.code]).toEqual([404, 404, nobodys.body.code]);
    expect((await post(inWorkspace({ type: 'readFile' }), null)).status).toBe(401);
    expect(sent).toEqual([]);
  });

  it('P-74 of an unknown type are answered with exactly that, and never reach the workspace', async () => {
    const id = randomUUID();
    const { body } = await post(inWorkspace({ id, type: 'deleteFile', payload: { path: 'README.md' } }));

    expect(body).toEqual({ id, success: false, error: 'Unknown command type: deleteFile' });
    for (const type of ['stop', 'decision', 'wake', 'readCommitted', 'constructor', '__proto__'])
      expect((await post(inWorkspace({ type }))).body.error).toBe(`Unknown command type: ${type}`);
    expect(sent).toEqual([]);
  });

  it('say what the service says, whatever a caller puts into the payload', async () => {
    const forged = { profile: 'trusted', approved: true, identity: { name: 'x', email: 'x' }, trailers: ['X: y'] };
    await post(inWorkspace({ type: 'listFiles', payload: { path: 'src', ...forged } }));
    const { status } = await post(inWorkspace({ type: 'writeFile', payload: { path: 'a', content: '', ...forged } }));

    expect(status).toBe(202);
    expect(sent).toEqual([{ type: 'listFiles', payload: { path: 'src', profile: 'ask' } }]);
  });

  it('are refused with a sentence where the envelope is none, or no bridge answers', async () => {
    for (const bad of [
      {},
      [],
      { type: 7 },
      { type: 'readFile', payload: [] },
      { type: 'readFile', id: 'x' },
      { type: 'x', more: 1 },
      { type: 'writeFile', payload: { path: 'a', content: '\0' } },
      { type: 'writeFile', payload: { path: 'a', content: '\ud800' } },
    ])
      expect([bad, (await post(bad)).status]).toEqual([bad, 400]);
    bridge.answers.set('searchCode', () => ({ nonsense: true }));
    expect((await post(inWorkspace({ type: 'searchCode', payload: { query: 'x' } }))).body).toMatchObject({
      success: false,
      error: expect.stringMatching(/form/),
    });
  });
});

describe('what a profile lets a command do', () => {
  const run = { type: 'runCommand', payload: { command: 'npm test' } };

  it('asks first where the profile is `ask`, and then runs what was approved, once, as it was shown', async () => {
    const asked = await post(inWorkspace(run));
    expect([asked.status, asked.body]).toEqual([
      202,
      { id: expect.any(String), approval_id: expect.any(String), state: 'pending', expires_at: expect.any(String) },
    ]);
    const approved = { ...run, approval_id: asked.body.approval_id };
    expect((await post(inWorkspace(approved))).body.code).toBe('approval_pending');
    const { body: listed } = await outrigger.call(
      outrigger.people.ada,
      'GET',
      '/api/v2/agents/approvals?state=pending',
    );
    expect(listed.items[0]).toMatchObject({
      id: asked.body.approval_id,
      kind: 'command',
      title: 'runCommand: npm test',
      task_id: null,
      detail: run,
    });
    expect((await decide(asked.body.approval_id, 'once', outrigger.people.bob)).status).toBe(404);
    expect((await decide(asked.body.approval_id, 'once')).status).toBe(200);

    const other = { ...approved, payload: { command: 'npm publish' } };
    expect((await post(inWorkspace(other))).body.code).toBe('approval_differs');
    expect(sent).toEqual([]);
    const done = await post(inWorkspace({ ...approved, id: asked.body.id }));
    expect(done.body).toEqual({ id: asked.body.id, success: true, data: output });
    expect(sent).toEqual([{ type: 'runCommand', payload: { command: 'npm test', profile: 'ask', approved: true } }]);
    expect((await post(inWorkspace(approved))).body.code).toBe('approval_used');
    expect(sent).toHaveLength(1);
    expect((await audit(asked.body.id)).map(({ outcome }) => outcome)).toEqual(['intent', 'success']);
  });

  it('keeps its question apart from those of tasks, whatever id a caller gives to the command', async () => {
    const id = randomUUID();
    const [first, again] = [await post(inWorkspace({ ...run, id })), await post(inWorkspace({ ...run, id }))];

    expect([first.status, again.body]).toEqual([202, first.body]);
    const { rows } = await outrigger.database.pool.query('select id from approval where task_id = $1', [id]);
    expect(rows).toEqual([]);
  });

  it('runs nothing that was rejected, that nobody decided in time, or that was approved an hour ago', async () => {
    const ids = await Promise.all(
      ['a', 'b', 'c'].map(async (command) => {
        const asked = await post(inWorkspace({ ...run, payload: { command } }));
        return { command, approval_id: String(asked.body.approval_id) };
      }),
    );
    const again = async (index: number): Promise<string> => {
      const { command = '', approval_id = '' } = ids[index] ?? {};
      return String((await post(inWorkspace({ ...run, payload: { command }, approval_id }))).body.code);
    };
    await decide(ids[0]?.approval_id ?? '', 'reject');
    await decide(ids[1]?.approval_id ?? '', 'once');
    expect(await again(0)).toBe('approval_rejected');
    outrigger.clock.advance(3_700_000);
    expect(await again(1)).toBe('approval_old');
    expect((await decide(ids[2]?.approval_id ?? '', 'once')).body.code).toBe('approval_expired');
    expect((await post(inWorkspace({ ...run, approval_id: randomUUID() }))).status).toBe(404);
    expect(sent).toEqual([]);
  });

  it('runs at once where the admin and the template allow `trusted`, and is refused where they do not', async () => {
    expect((await post(inWorkspace({ ...run, profile: 'trusted' }))).body.code).toBe('profile_not_allowed');
    expect(sent).toEqual([]);
    outrigger.coder.addVersion('docker', { max_profile: 'trusted' });
    const place = outrigger.coder.addWorkspace({ owner: 'ada', name: 'trusting', running: true });
    // Its bridge never came, so the command waits for it and then says so; what counts is that it was sent.
    const controller = new AbortController();
    const asking = fetch(`${outrigger.url}${path}`, {
      method: 'POST',
      headers: { 'Coder-Session-Token': outrigger.people.ada.token, 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...run, profile: 'trusted', workspace_id: place.id }),
      signal: controller.signal,
    }).catch(() => null);
    const payload = await eventually('the command', async () => {
      const { rows } = await outrigger.database.pool.query('select payload from bridge_frame where workspace_id = $1', [
        place.id,
      ]);
      return (rows[0] as { payload: unknown } | undefined)?.payload;
    });
    expect(payload).toEqual({ command: 'npm test', profile: 'trusted' });
    controller.abort();
    await asking;
  });

  it('leaves a refusal by `read-only` to the bridge, which knows the program', async () => {
    await post(inWorkspace({ ...run, profile: 'read-only' }));
    expect(sent).toEqual([{ type: 'runCommand', payload: { command: 'npm test', profile: 'read-only' } }]);
  });

  it('commits in the name of the owner, with a trailer that leads to the audit (part of P-43)', async () => {
    const commit = { type: 'gitCommit', payload: { message: 'Say it' } };
    const asked = await post(inWorkspace(commit));
    await decide(asked.body.approval_id, 'once');
    const id = randomUUID();

    await post(inWorkspace({ ...commit, id, approval_id: asked.body.approval_id }));

    expect(sent[0]?.payload).toMatchObject({
      message: 'Say it',
      identity: { name: expect.stringMatching(/ada/i), email: expect.stringContaining('@') },
      trailers: [`Agent-Command: ${id}`],
    });
    expect(await audit(id)).toHaveLength(2);
  });
});

describe("the bridge's own token at the git proxy", () => {
  it('opens it only while somebody waits for a push, and opens nothing else ever', async () => {
    const { database, clock } = outrigger;
    bridge = await outrigger.bridge();
    const identify = makeGitIdentity({ database, clock, ofTask: () => Promise.reject(new Error('no task')) });
    const access = (where: string) =>
      outrigger.call(null, 'GET', where, undefined, { Authorization: `Bearer ${bridge.token}` });
    expect((await access('/git/access')).body.code).toBe('no_push_asked');

    const listener = makeListener({ url: database.url, log: silentLogger });
    await listener.start();
    const call = makeCallBridge({ database, listener, clock });
    // Nobody answers in that workspace, so the push stays open.
    const controller = new AbortController();
    bridge.close();
    await bridge.closed;
    const waiting = call(outrigger.workspace.id, 'gitPush', {}, controller.signal).catch((error: Error) => error);
    await eventually('the push to be sent', async () => (await access('/git/access')).status === 200);

    expect(await identify(bridge.token)).toMatchObject({
      workspaceId: outrigger.workspace.id,
      ownerId: outrigger.people.ada.id,
    });
    expect((await access('/llm/v1/models')).status).toBe(401);
    await expect(identify(`orb_${'x'.repeat(43)}`)).rejects.toThrow(/Nobody waits/);
    controller.abort();
    await waiting;
    expect((await access('/git/access')).body.code).toBe('no_push_asked');
    await listener.stop();
  });
});

describe('a command that waits while the bridge ends', () => {
  it('is done by the next process of the bridge only where it changes nothing', async () => {
    const { database, clock, workspace } = outrigger;
    const listener = makeListener({ url: database.url, log: silentLogger });
    await listener.start();
    const call = makeCallBridge({ database, listener, clock });
    bridge.close();
    await bridge.closed;
    const controller = new AbortController();
    const isKept = (type: string): Promise<boolean> =>
      eventually(`${type} to be kept`, async () => {
        const { rows } = await database.pool.query('select from bridge_frame where workspace_id = $1 and type = $2', [
          workspace.id,
          type,
        ]);
        return rows.length === 1;
      });
    const running = call(workspace.id, 'runCommand', { command: 'make' }, controller.signal).catch(() => null);
    await isKept('runCommand');
    const listing = call(workspace.id, 'listFiles', {}, controller.signal).catch(() => null);
    await isKept('listFiles');

    clock.advance(1_000);
    bridge = await outrigger.bridge();
    await listing;

    const types = bridge.commands.map(({ type }) => type);
    expect(types).toContain('listFiles');
    expect(types).not.toContain('runCommand');
    controller.abort();
    await running;
    await listener.stop();
  });
});
