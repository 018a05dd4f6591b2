import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let outrigger: TestService;
let admin: Person;
beforeAll(async () => {
  outrigger = await startTestService();
  admin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
});
afterAll(() => outrigger.stop());

const path = '/api/v2/agents/registry/my-agent';
const image = (letter: string): string => `registry.example.com/base:1@sha256:${letter.repeat(64)}`;
const manifest = (executorImage: string) => ({
  apiVersion: 'kubeopencode.io/v1alpha1',
  kind: 'Agent',
  metadata: { name: 'my-agent' },
  spec: { credentials: [], executorImage },
});
const call = (method: string, rest = '', body?: unknown, person = admin) =>
  outrigger.call(person, method, path + rest, body);
const audited = async () =>
  (
    await outrigger.database.pool.query<{ data: { version: number; restored_from: number | null } }>(
      `select data from audit_event where action = 'agent_entry.written' and outcome = 'success' order by id`,
    )
  ).rows.map(({ data }) => [data.version, data.restored_from]);

describe('S-112 what an agent uses', () => {
  it('is kept in versions, each with its author, and an earlier one is brought back as the newest', async () => {
    expect((await call('PUT', '?dry_run=true', manifest(image('a')))).body).toEqual({
      change: 'created',
      dry_run: true,
    });
    expect((await call('GET')).status).toBe(404);

    const changes = [];
    for (const letter of ['a', 'b', 'b']) changes.push((await call('PUT', '', manifest(image(letter)))).body.change);
    expect(changes).toEqual(['created', 'changed', 'unchanged']);

    const back = await call('POST', '/rollback', { to: 1 });
    expect([back.status, back.body.change, back.body.spec.executorImage]).toEqual([200, 'changed', image('a')]);
    expect((await call('GET')).body.spec.executorImage).toBe(image('a'));

    const { body } = await call('GET', '/versions', undefined, outrigger.people.bob);
    expect(
      body.items.map((one: { version: number; restored_from: number; spec: { executorImage: string } }) => [
        one.version,
        one.restored_from,
        one.spec.executorImage,
      ]),
    ).toEqual([
      [3, 1, image('a')],
      [2, null, image('b')],
      [1, null, image('a')],
    ]);
    expect(body.items[0].created_by).toBe(`user:${admin.id}`);
    expect(await audited()).toEqual([
      [1, null],
      [2, null],
      [3, 1],
    ]);
  });

  it('can be brought back after it was deleted', async () => {
    await call('PUT', '', manifest(image('c')));
    expect((await call('DELETE')).status).toBe(204);
    expect((await call('POST', '/rollback', { to: 2 })).body).toMatchObject({
      change: 'created',
      spec: { executorImage: image('b') },
    });
    expect((await call('GET', '/versions?limit=1')).body).toMatchObject({ items: [{ restored_from: 2 }] });
  });

  it('refuses a version there is none of, and everybody but an admin', async () => {
    expect((await call('POST', '/rollback', { to: 99 })).status).toBe(404);
    expect((await call('POST', '/rollback', { to: 0 })).status).toBe(400);
    expect((await call('POST', '/rollback', { to: 1 }, outrigger.people.ada)).status).toBe(403);
    const elsewhere = '?organization_id=01a1fe84-6e71-74c4-b4d3-597185d7e2d2';
    expect((await call('GET', `/versions${elsewhere}`)).status).toBe(404);
    expect((await outrigger.call(admin, 'GET', `${path.replace('my-agent', 'no-agent')}/versions`)).status).toBe(404);
  });
});
