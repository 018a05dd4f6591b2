import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

const canary = (): string => `canary-${randomBytes(12).toString('hex')}`;
const path = '/api/v2/agents/secrets';

let outrigger: TestService;
let orgAdmin: Person;
let bobs: { readonly id: string };
beforeAll(async () => {
  outrigger = await startTestService();
  orgAdmin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  bobs = outrigger.coder.addWorkspace({ owner: 'bob', name: 'bobs', running: true });
});
afterAll(() => outrigger.stop());
beforeEach(() => outrigger.database.pool.query('truncate secret, own_credentials, agent_entry'));

const { stringify } = JSON;
const put = (person: Person, name: string, query: string, values: Record<string, string>) =>
  outrigger.call(person, 'PUT', `${path}/${name}?${query}`, values);
const inHis = () => `workspace_id=${bobs.id}`;
const inHers = () => `workspace_id=${outrigger.workspace.id}`;

describe('S-06 a secret', () => {
  it('C-40 can be written over the API in every scope and is never read: answers have metadata only', async () => {
    const { ada } = outrigger.people;
    const scopes: [Person, string, string][] = [
      [orgAdmin, 'scope=organization', 'organization'],
      [ada, 'scope=owner', 'owner'],
      [ada, inHers(), 'workspace'],
    ];
    for (const [person, query, scope] of scopes) {
      const value = canary();
      const until = '2030-01-01T00:00:00.000Z';
      const written = await put(person, 'mine', `${query}&rotate_after=${until}`, { 'api-key': value });
      const answers = [
        written,
        await outrigger.call(person, 'GET', `${path}/mine?${query}`),
        await outrigger.call(person, 'GET', `${path}?${query}`),
        await outrigger.call(person, 'POST', `${path}/mine?${query}`, {}),
        await put(person, 'mine', query, { 'api-key': canary() }),
        await outrigger.call(person, 'DELETE', `${path}/mine?${query}`),
      ];

      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404, 200, 204]);
      expect(written.body).toEqual({
        name: 'mine',
        path: expect.stringMatching(/^[0-9a-f-]{36}\/([0-9a-f-]{36}|-)\/([0-9a-f-]{36}|-)\/mine$/),
        scope,
        keys: ['api-key'],
        created_at: expect.any(String),
        updated_at: expect.any(String),
        updated_by: `user:${person.id}`,
        rotate_after: until,
        overdue: false,
      });
      expect(stringify(answers) + outrigger.log()).not.toContain(value);
    }
    expect((await outrigger.database.pool.query('select 1 from secret')).rows).toEqual([]);
  });

  it('S-59 is 404 for everybody but its owner: in another workspace, by its owner’s name, and for admins too', async () => {
    const { ada, bob, admin } = outrigger.people;
    await put(ada, 'mine', inHers(), { key: 'hers' });
    await put(bob, 'mine', inHis(), { key: 'his' });

    for (const person of [bob, orgAdmin, admin])
      for (const [method, body] of [['GET'], ['PUT', { key: 'changed' }], ['DELETE']] as [string, unknown?][])
        expect((await outrigger.call(person, method, `${path}/mine?${inHers()}`, body)).status).toBe(404);
    for (const query of ['workspace_id=ada/ws-123', 'workspace_id=ws-123', 'scope=owner'])
      expect((await outrigger.call(bob, 'GET', `${path}/mine?${query}`)).status).toBe(404);
    expect((await outrigger.call(ada, 'GET', `${path}/mine?scope=owner`)).status).toBe(404);

    const seen = await outrigger.call(ada, 'GET', `${path}/mine?workspace_id=ws-123`);
    expect(seen.body.path).toMatch(new RegExp(`/${ada.id}/${outrigger.workspace.id}/mine$`));
  });

  it('of the organization is its admins’ alone', async () => {
    const { ada } = outrigger.people;
    await put(orgAdmin, 'theirs', '', { key: 'value' });
    const answers = [
      await put(ada, 'theirs', '', { key: 'mine' }),
      await outrigger.call(ada, 'GET', `${path}/theirs`),
      await outrigger.call(ada, 'POST', `${path}/rotate`, {}),
    ];

    expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
      Array.from({ length: 3 }, () => [403, 'organization_admin_required']),
    );
  });

  it('of the organization is in one place, however its id is spelled', async () => {
    const [id = ''] = String((await put(orgAdmin, 'theirs', '', { key: 'value' })).body.path).split('/');
    const shouted = await put(orgAdmin, 'theirs', `organization_id=${id.toUpperCase()}`, { key: 'again' });

    expect(shouted.body).toMatchObject({ path: `${id}/-/-/theirs` });
    expect((await outrigger.call(orgAdmin, 'POST', `${path}/rotate`, {})).body).toMatchObject({ values: 1 });
  });

  it.each([
    ['a workspace without one being named', 'scope=workspace'],
    ['its owner and a workspace', 'scope=owner&workspace_id=ws-123'],
    ['a scope that there is none', 'scope=everybody'],
    ['a time that is none', 'scope=owner&rotate_after=soon'],
  ])('is refused with %s', async (_what, query) => {
    expect((await put(outrigger.people.ada, 'mine', query, { key: 'value' })).body).toMatchObject({
      status: 400,
      code: 'invalid_request',
    });
  });

  it('is sealed anew by whoever may write it, and the answer says which keys of the ring are in use', async () => {
    const { ada } = outrigger.people;
    await put(orgAdmin, 'theirs', '', { one: '1', two: '2' });
    await put(ada, 'mine', 'scope=owner', { key: 'value' });

    const own = await outrigger.call(ada, 'POST', `${path}/rotate?scope=owner`, {});
    const all = await outrigger.call(orgAdmin, 'POST', `${path}/rotate`, {});

    expect(own.body).toMatchObject({ values: 1, not_opened: 0, keys_in_use: ['1'] });
    expect(all.body).toMatchObject({ values: 3, not_opened: 0, keys_in_use: ['1'] });
  });
});

describe('a key of one’s own', () => {
  const credentials = '/api/v2/agents/credentials';
  const entry = (env: string, name: string, key = 'api-key') => ({
    name: env.toLowerCase().replaceAll('_', '-'),
    env,
    secretRef: { name, key },
  });
  const bring = async (person: Person, query: string, value: string): Promise<void> => {
    await put(person, 'my-openrouter', query, { 'api-key': value });
    const body = { credentials: [entry('OPENROUTER_API_KEY', 'my-openrouter')] };
    expect((await outrigger.call(person, 'PUT', credentials, body)).status).toBe(200);
  };
  /** What the model's provider was shown for a task of Ada. */
  const keyShown = async (): Promise<string | null | undefined> => {
    const bridge = await outrigger.bridge();
    await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } },
    });
    const lease = await takeLease(bridge);
    await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${lease.task_token}` },
      body: stringify({ model: 'outrigger/default', messages: [{ role: 'user', content: 'SCENARIO:text' }] }),
    });
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    await eventually('the task to finish', async () => {
      const { body } = await outrigger.call(outrigger.people.ada, 'GET', `/api/v2/agents/tasks/${lease.task_id}`);
      return body.state === 'finished';
    });
    bridge.close();
    return outrigger.model.requests.at(-1)?.authorization;
  };

  it('is shown by reference, and whether there is a value behind it', async () => {
    const { ada, bob } = outrigger.people;
    await outrigger.call(ada, 'PUT', credentials, {
      credentials: [entry('OPENROUTER_API_KEY', 'my-openrouter'), entry('GITHUB_TOKEN', 'my-github')],
    });
    await put(ada, 'my-openrouter', 'scope=owner', { 'api-key': canary() });

    expect((await outrigger.call(ada, 'GET', credentials)).body.status).toMatchObject([
      { env: 'OPENROUTER_API_KEY', destination: 'gateway', stored: true, fits_upstream: true },
      { env: 'GITHUB_TOKEN', destination: 'broker', stored: false, host: 'github.com' },
    ]);
    expect((await outrigger.call(bob, 'GET', credentials)).body).toEqual({ credentials: [], status: [] });
  });

  it.each([
    ['a value in place of a reference', { name: 'k', env: 'OPENROUTER_API_KEY', value: 'sk-x' }],
    ['no reference', { name: 'k', env: 'OPENROUTER_API_KEY' }],
  ])('is refused with %s, without repeating it', async (_what, one) => {
    const { status, body } = await outrigger.call(outrigger.people.ada, 'PUT', credentials, { credentials: [one] });

    expect(status).toBe(400);
    expect(stringify(body)).not.toContain('sk-x');
  });

  it('is used for the work of its owner alone, before that of the organization, and audited without its value', async () => {
    const { ada, bob } = outrigger.people;
    const values = { bob: canary(), ada: canary(), workspace: canary(), all: canary() };
    await put(orgAdmin, 'ai', '', { key: values.all });
    await outrigger.call(orgAdmin, 'PUT', '/api/v2/agents/registry/opencode', {
      apiVersion: 'kubeopencode.io/v1alpha1',
      kind: 'Agent',
      metadata: { name: 'opencode' },
      spec: { credentials: [entry('OPENROUTER_API_KEY', 'ai', 'key')] },
    });
    await bring(bob, 'scope=owner', values.bob);
    expect(await keyShown()).toBe(`Bearer ${values.all}`);

    await bring(ada, 'scope=owner', values.ada);
    expect(await keyShown()).toBe(`Bearer ${values.ada}`);
    await put(ada, 'my-openrouter', inHers(), { 'api-key': values.workspace });
    expect(await keyShown()).toBe(`Bearer ${values.workspace}`);

    const { rows } = await outrigger.database.pool.query<{ text: string; scope: string; owner_id: string }>(
      `select row_to_json(audit_event)::text as text, data->>'scope' as scope, owner_id from audit_event
        where action = 'agent_secret.used' order by id`,
    );
    expect(rows.map(({ scope, owner_id }) => [scope, owner_id === ada.id])).toEqual([
      ['organization', true],
      ['owner', true],
      ['workspace', true],
    ]);
    for (const value of Object.values(values)) expect(stringify(rows) + outrigger.log()).not.toContain(value);
  });
});
