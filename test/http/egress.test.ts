import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { finished } from '../support/coder/timeline.ts';
import { startTestService, type TestService } from '../support/service.ts';

const rules = '/api/v2/agents/egress/rules';
const requests = '/api/v2/agents/egress/requests';

let outrigger: TestService;
let secret: string;
let proof: string;

beforeAll(async () => {
  outrigger = await startTestService();
  const { admin, ada } = outrigger.people;
  const { body } = await outrigger.call(admin, 'POST', '/api/v2/agents/templates/egress/secrets', {});
  secret = (body as { secret: string }).secret;
  proof = deriveProof(secret, outrigger.workspace.id, ada.id, `egress:${outrigger.workspace.agentId}`);
});
afterAll(() => outrigger.stop());

interface Blocked {
  readonly host: string;
  readonly port: number;
  readonly reason: string;
  readonly count: number;
}

async function sync(
  blocked: readonly Blocked[] = [],
  shown = proof,
  workspace = outrigger.workspace.id,
  agentId = outrigger.workspace.agentId,
) {
  const answer = await fetch(`${outrigger.url}/api/v2/agents/egress/sync`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${shown}` },
    body: JSON.stringify({ workspace_id: workspace, agent_id: agentId, blocked }),
  });
  return { status: answer.status, body: (await answer.json()) as { hosts: string[]; version: number; code?: string } };
}

const blockedPath = (): string => `/api/v2/agents/workspaces/${outrigger.workspace.id}/egress/blocked`;
const askPath = (): string => `/api/v2/agents/workspaces/${outrigger.workspace.id}/egress/requests`;

describe('hosts that a workspace was refused', () => {
  it('are shown to who may use it, counted, and written into the audit once (part of D23)', async () => {
    const one = { host: 'files.example.com', port: 443, reason: 'not_listed', count: 2 };
    expect((await sync([one])).status).toBe(200);
    expect((await sync([one])).status).toBe(200);

    const { ada, bob } = outrigger.people;
    const seen = await outrigger.call(ada, 'GET', blockedPath());
    expect(seen.body.items).toMatchObject([{ ...one, count: 4 }]);
    expect((await outrigger.call(bob, 'GET', blockedPath())).status).toBe(404);
    const { rows } = await outrigger.database.pool.query(
      `select data from audit_event where action = 'egress.blocked'`,
    );
    expect(rows).toMatchObject([{ data: { places: 'files.example.com:443', count: 1 } }]);
  });

  it('are taken from nobody but the proxy of the running build', async () => {
    const { ada } = outrigger.people;
    const ofBridge = deriveProof(secret, outrigger.workspace.id, ada.id, outrigger.workspace.agentId);

    for (const [shown, workspace] of [
      [ofBridge, outrigger.workspace.id],
      ['', outrigger.workspace.id],
      [proof, randomUUID()],
      [proof.replace(/.$/, (last) => (last === '0' ? '1' : '0')), outrigger.workspace.id],
    ] as const)
      expect((await sync([], shown, workspace)).status).toBe(401);
    const registered = await fetch(`${outrigger.url}/api/v2/agents/opencode/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${proof}` },
      body: JSON.stringify({
        workspace_id: outrigger.workspace.id,
        agent_id: outrigger.workspace.agentId,
        version: '1',
        capabilities: [],
      }),
    });
    expect(registered.status).toBe(401);
  });

  it('are taken as soon as the build has ended, although the proxy asks before', async () => {
    const { coder, people } = outrigger;
    const { id } = coder.addWorkspace({ owner: 'ada', name: 'being-built', running: false });
    const { agentId } = coder.buildWorkspace(id, 'start', {
      timing: { ...finished, runningMs: Number.POSITIVE_INFINITY },
    });
    const shown = deriveProof(secret, id, people.ada.id, `egress:${agentId}`);
    expect((await sync([], shown, id, agentId)).status).toBe(401);

    Object.assign(coder.world.workspaces.get(id)?.builds.at(-1) ?? {}, { timing: finished });

    expect((await sync([], shown, id, agentId)).status).toBe(200);
  });

  it('are bounded: a flood of names keeps the latest', async () => {
    for (let call = 0; call < 6; call += 1) {
      const many = Array.from({ length: 100 }, (_, index) => ({
        host: `n${String(call * 100 + index)}.flood.example`,
        port: 443,
        reason: 'not_listed',
        count: 1,
      }));
      expect((await sync(many)).status).toBe(200);
    }

    const { items } = (await outrigger.call(outrigger.people.ada, 'GET', blockedPath())).body;
    expect(items).toHaveLength(500);
    expect(items[0].host).toContain('.flood.example');
    expect((await sync([{ host: 'a b', port: 1, reason: 'x', count: 1 }])).status).toBe(400);
  });
});

describe('a host that somebody asks for', () => {
  it('is let through after an admin approved it, for that workspace, and no longer than said (part of D23)', async () => {
    const { ada, bob, admin } = outrigger.people;
    const before = (await sync()).body;
    const asked = await outrigger.call(ada, 'POST', askPath(), { host: 'Files.example.com', why: 'the data set' });
    expect([asked.status, asked.body.state, asked.body.host]).toEqual([201, 'waiting', 'files.example.com']);
    const again = await outrigger.call(ada, 'POST', askPath(), { host: 'files.example.com' });
    expect(again.body.id).toBe(asked.body.id);

    const decision = `${requests}/${asked.body.id}/decision`;
    expect((await outrigger.call(ada, 'POST', decision, { decision: 'approve' })).status).toBe(403);
    expect((await outrigger.call(bob, 'GET', requests)).body.items).toEqual([]);
    expect((await outrigger.call(admin, 'GET', requests)).body.items).toHaveLength(1);
    expect((await sync()).body.hosts).not.toContain('files.example.com');

    const approved = await outrigger.call(admin, 'POST', decision, { decision: 'approve', expires_in_seconds: 3600 });
    expect([approved.status, approved.body.state]).toEqual([200, 'approved']);
    const after = (await sync()).body;
    expect(after.hosts).toContain('files.example.com');
    expect(after.version).toBe(before.version + 1);
    expect((await outrigger.call(admin, 'POST', decision, { decision: 'deny' })).status).toBe(409);

    await outrigger.database.pool.query(`update egress_rule set expires_at = now() - interval '1 second'`);
    expect((await sync()).body.hosts).not.toContain('files.example.com');
  });

  it('is not let through when it is denied', async () => {
    const { ada, admin } = outrigger.people;
    const asked = await outrigger.call(ada, 'POST', askPath(), { host: 'denied.example.com' });
    const decision = `${requests}/${asked.body.id}/decision`;
    expect((await outrigger.call(admin, 'POST', decision, { decision: 'deny' })).body.state).toBe('denied');
    expect((await sync()).body.hosts).not.toContain('denied.example.com');
  });

  it.each([
    '*',
    '*.com',
    '*.co.uk',
    '*.github.io',
    '10.0.0.1',
    '127.1',
    '0x7f.1',
    'https://a.example',
    'a.example/x',
    'a.example:65536',
    '',
  ])('is refused as %j', async (host) => {
    expect((await outrigger.call(outrigger.people.ada, 'POST', askPath(), { host })).status).toBe(400);
  });
});

describe('the list of an organization', () => {
  it('is versioned and audited, written by its admins and read by its members', async () => {
    const { ada, admin } = outrigger.people;
    expect((await outrigger.call(ada, 'POST', rules, { host: 'x.example.com' })).status).toBe(403);
    const first = await outrigger.call(admin, 'POST', rules, { host: '*.internal.example.com' });
    expect(first.status).toBe(201);
    const elsewhere = await outrigger.call(admin, 'POST', rules, {
      host: 'other.example.com',
      workspace_id: randomUUID(),
    });
    expect(elsewhere.body.added_in).toBe(first.body.added_in + 1);

    const { hosts } = (await sync()).body;
    expect(hosts).toContain('*.internal.example.com');
    expect(hosts).not.toContain('other.example.com');
    const listed = (await outrigger.call(ada, 'GET', rules)).body;
    expect(listed.version).toBe(elsewhere.body.added_in);

    expect((await outrigger.call(admin, 'DELETE', `${rules}/${first.body.id}`)).status).toBe(204);
    expect((await outrigger.call(admin, 'DELETE', `${rules}/${first.body.id}`)).status).toBe(404);
    expect((await sync()).body.hosts).not.toContain('*.internal.example.com');
    const { rows } = await outrigger.database.pool.query(
      `select action from audit_event where action like 'egress.%' and target_id = '${String(first.body.id)}' order by action`,
    );
    expect(rows).toEqual([{ action: 'egress.allowed' }, { action: 'egress.removed' }]);
  });
});
