import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { everyRow } from '../support/every-row.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService();
});
afterAll(() => outrigger.stop());

const submit = (who: Person) =>
  outrigger.call(who, 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: outrigger.workspace.id } },
  });
const list = (who: Person) => outrigger.call(who, 'GET', '/api/v2/agents/tasks');
/** What Coder was asked while `act` ran, with whose token. */
async function asked(act: () => Promise<unknown>): Promise<string[]> {
  const before = outrigger.coder.calls.length;
  await act();
  return outrigger.coder.calls.slice(before).map(({ token, route }) => `${token} ${route}`);
}
/** Longer than an answer of Coder is believed. */
const forgetWhoCalls = (): void => outrigger.clock.advance(5_001);

describe('S-14 authentication, authorization and resources are Coder’s; scheduling is ours', () => {
  it('S-14 lets Coder say whose a token is, and a token that Coder revoked is refused once its answer is old', async () => {
    const token = outrigger.coder.addToken({ owner: 'ada', name: 'laptop' });
    const laptop = { id: outrigger.people.ada.id, token };

    expect(await asked(() => list(laptop))).toContain('ada:laptop GET /api/v2/users/me');
    expect((await list(laptop)).status).toBe(200);
    outrigger.coder.world.tokens.delete(token);
    forgetWhoCalls();
    expect((await list(laptop)).status).toBe(401);
    expect((await submit(laptop)).status).toBe(401);
    expect((await list({ id: laptop.id, token: 'nobody-s' })).status).toBe(401);
  });

  it('S-14 lets Coder say who may use a workspace, each time and with the caller’s own token', async () => {
    const { bob } = outrigger.people;
    const place = outrigger.coder.world.workspaces.get(outrigger.workspace.id);
    // May read every workspace, and use none but their own.
    const reader = outrigger.coder.addUser({ username: 'reader', roles: ['template-admin'] });

    expect((await submit(bob)).status).toBe(404);
    expect((await submit(reader)).status).toBe(404);
    place?.shared.set(bob.id, 'admin');
    const calls = await asked(async () => expect((await submit(bob)).status).toBe(202));
    expect(calls).toContain('bob POST /api/v2/authcheck');
    place?.shared.delete(bob.id);
    expect((await submit(bob)).status).toBe(404);
  });

  it('S-14 lets Coder say what a token’s scopes and an admin’s role allow', async () => {
    const { ada, admin } = outrigger.people;
    const mint = (who: Person) => outrigger.call(who, 'POST', '/api/v2/agents/templates/docker/secrets', {});
    const narrow = outrigger.coder.addToken({ owner: 'ada', name: 'narrow', scopes: ['user:read', 'workspace:read'] });

    expect([403, 404]).toContain((await submit({ id: ada.id, token: narrow })).status);
    expect([403, 404]).toContain((await mint(ada)).status);
    expect((await mint(admin)).status).toBe(201);
    expect((await submit(ada)).status).toBe(202);
  });

  it('S-14 schedules in its own tables: a task is queued, leased and finished, and Coder is only ever asked, never told', async () => {
    const { ada } = outrigger.people;
    const bridge = await outrigger.bridge();
    const calls = await asked(async () => {
      const { body } = await submit(ada);
      for (;;) {
        const lease = await takeLease(bridge);
        await bridge.request('result', { ...lease, evidence: goodEvidence() });
        if (lease.task_id === body.id) break;
      }
      await eventually('the end', async () => {
        const answer = await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${body.id}`);
        return answer.body.state === 'finished';
      });
    });
    bridge.close();

    expect(calls.length).toBeGreaterThan(0);
    expect(calls.filter((call) => !/ (GET |POST \/api\/v2\/authcheck$)/.test(call))).toEqual([]);
  });

  it('S-14 has no table of users, passwords, roles or rights of its own, and stores no token of a person', async () => {
    const { rows } = await outrigger.database.pool.query<{ name: string }>(
      `select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'outrigger'`,
    );
    const names = rows.map(({ name }) => name);
    const stored = await everyRow(outrigger.database);

    expect(names).toContain('task.owner_id');
    expect(
      names.filter((name) => /password|passwd|\brole|permission|^(user|account|person|member)s?\./.test(name)),
    ).toEqual([]);
    expect(stored).toContain(outrigger.people.ada.id);
    for (const { token } of Object.values(outrigger.people)) expect(stored.includes(token)).toBe(false);
  });
});
