import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startGitForge, type GitForge } from '../support/git-forge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

const fixture = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'agent', 'credentials.agent.yaml'), 'utf8');
const asYaml = { 'Content-Type': 'application/yaml' };
const image = (name: string): string => `registry.example.com/${name}:1@sha256:${'a'.repeat(64)}`;
const canary = (): string => `canary-${randomBytes(12).toString('hex')}`;

let outrigger: TestService;
let orgAdmin: Person;
let templateAdmin: Person;
beforeAll(async () => {
  outrigger = await startTestService({ ALLOW_INSECURE_HTTP: 'true' });
  orgAdmin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  templateAdmin = outrigger.coder.addUser({ username: 'tess', roles: ['organization-template-admin'] });
});
afterAll(() => outrigger.stop());
beforeEach(() => outrigger.database.pool.query('truncate agent_entry, secret'));

const entryPath = '/api/v2/agents/registry/my-agent';
const secretPath = (name: string): string => `/api/v2/agents/secrets/${name}`;
const writeEntry = (person: Person, body: unknown, path = entryPath, headers: Record<string, string> = asYaml) =>
  outrigger.call(person, 'PUT', path, body, headers);
const auditOf = async (action: string) =>
  (
    await outrigger.database.pool.query<{ actor: string; outcome: string; text: string }>(
      'select actor, outcome, row_to_json(audit_event)::text as text from audit_event where action = $1 order by id',
      [action],
    )
  ).rows;

/** An agent with one credential, for a change of one field. */
const manifest = (spec: Record<string, unknown>, name = 'my-agent') => ({
  apiVersion: 'kubeopencode.io/v1alpha1',
  kind: 'Agent',
  metadata: { name },
  spec,
});
const credential = (env: string, rest: Record<string, unknown> = {}) => ({
  name: env.toLowerCase().replaceAll('_', '-'),
  secretRef: { name: 'ai-credentials', key: 'api-key' },
  env,
  ...rest,
});

describe('an agent entry', () => {
  it('accepts the documented body unchanged, as YAML and as JSON, and answers metadata only', async () => {
    const secret = { anthropic: canary(), github: canary() };
    await outrigger.call(orgAdmin, 'PUT', secretPath('ai-credentials'), { 'api-key': secret.anthropic });
    const answers = [
      await writeEntry(orgAdmin, fixture),
      await writeEntry(orgAdmin, parse(fixture), entryPath, {}),
      await outrigger.call(outrigger.people.ada, 'GET', entryPath),
    ];

    for (const { status, body } of answers) {
      expect(status).toBe(200);
      expect(body).toMatchObject(parse(fixture) as object);
      expect(body.status.credentials).toEqual([
        {
          name: 'api-key',
          env: 'ANTHROPIC_API_KEY',
          destination: 'gateway',
          host: null,
          scope: null,
          expires_at: null,
          stored: true,
          fits_upstream: false,
          expired: false,
        },
        {
          name: 'github-token',
          env: 'GITHUB_TOKEN',
          destination: 'broker',
          host: 'github.com',
          scope: null,
          expires_at: null,
          stored: false,
          fits_upstream: null,
          expired: false,
        },
      ]);
      expect(JSON.stringify(body)).not.toContain(secret.anthropic);
    }
  });

  it('keeps what is said of scope and expiry, and shows both', async () => {
    const github = credential('GITHUB_TOKEN', { scope: ['contents:write'], expiresAt: '2020-01-01T00:00:00Z' });
    const { body } = await writeEntry(orgAdmin, manifest({ credentials: [github] }));

    expect(body.status.credentials).toMatchObject([
      { destination: 'broker', scope: ['contents:write'], expires_at: '2020-01-01T00:00:00Z', expired: true },
    ]);
  });

  it('O-49 stores and answers agentImage, executorImage and attachImage, each pinned by digest', async () => {
    const images = { agentImage: image('opencode'), executorImage: image('base'), attachImage: image('attach') };
    expect((await writeEntry(orgAdmin, manifest(images))).status).toBe(200);
    expect((await outrigger.call(outrigger.people.ada, 'GET', entryPath)).body.spec).toMatchObject(images);

    for (const field of Object.keys(images)) {
      const answer = await writeEntry(orgAdmin, manifest({ ...images, [field]: 'registry.example.com/base:1' }));
      expect(answer.status).toBe(400);
      expect(answer.body.detail).toMatch(new RegExp(`spec\\.${field}: must be pinned by digest`));
    }
    expect((await outrigger.call(outrigger.people.ada, 'GET', entryPath)).body.spec).toMatchObject(images);
  });

  it.each<[string, unknown, RegExp]>([
    ['a name that is not the path’s', manifest({}, 'other'), /other.*my-agent/],
    ['a field nobody heeds', manifest({ command: ['sh'] }), /command/],
    [
      'a value in place of a reference',
      manifest({ credentials: [{ name: 'a', env: 'A', value: 'x' }] }),
      /secretRef|value/,
    ],
    ['an env that is no name', manifest({ credentials: [credential('GITHUB_TOKEN', { env: 'a=b' })] }), /env/],
    [
      'two credentials for one env',
      manifest({ credentials: [credential('A'), credential('A', { name: 'b' })] }),
      /same env/,
    ],
    [
      'a host for a provider’s key',
      manifest({ credentials: [credential('OPENAI_API_KEY', { host: 'a.example' })] }),
      /host/,
    ],
    [
      'a host that is an address',
      manifest({ credentials: [credential('T', { host: 'https://a.example/x' })] }),
      /host/,
    ],
    ['branches that are no pattern', manifest({ credentials: [credential('T', { branches: ['*'] })] }), /branches/],
    ['another kind', { ...manifest({}), kind: 'Task' }, /kind/],
    ['text that is no YAML', 'a: [1', /not a YAML/],
    ['an alias that grows', 'a: &a [1]\nb: [*a, *a]', /ALIAS/],
  ])('refuses %s', async (_what, body, words) => {
    const { status, body: problem } = await writeEntry(orgAdmin, body);

    expect(status).toBe(400);
    expect(problem.detail).toMatch(words);
    expect((await outrigger.call(orgAdmin, 'GET', entryPath)).status).toBe(404);
  });

  it('is gone after a delete, with an audit event for each change', async () => {
    await writeEntry(orgAdmin, fixture);
    expect((await outrigger.call(orgAdmin, 'DELETE', entryPath)).status).toBe(204);
    expect((await outrigger.call(orgAdmin, 'DELETE', entryPath)).status).toBe(404);

    const written = (await auditOf('agent_entry.written')).at(-1);
    expect(written).toMatchObject({ actor: `user:${orgAdmin.id}`, outcome: 'success' });
    expect(written?.text).toContain('ANTHROPIC_API_KEY=ai-credentials/api-key');
    expect((await auditOf('agent_entry.deleted')).map(({ outcome }) => outcome)).toEqual(['success']);
  });
});

describe('who may', () => {
  it('write is an organization admin; a member and a template admin get 403, and the audit says so', async () => {
    for (const person of [outrigger.people.ada, templateAdmin]) {
      const answers = [
        await writeEntry(person, fixture),
        await outrigger.call(person, 'DELETE', entryPath),
        await outrigger.call(person, 'PUT', secretPath('x'), { key: 'value' }),
        await outrigger.call(person, 'GET', '/api/v2/agents/secrets'),
        await outrigger.call(person, 'DELETE', secretPath('x')),
      ];
      expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
      expect(answers.every(({ body }) => body.code === 'organization_admin_required')).toBe(true);
    }
    const denied = (await auditOf('agent_secret.written')).filter(({ outcome }) => outcome === 'denied');
    expect(denied.map(({ actor }) => actor)).toEqual([`user:${outrigger.people.ada.id}`, `user:${templateAdmin.id}`]);
    const { rows } = await outrigger.database.pool.query('select 1 from agent_entry union all select 1 from secret');
    expect(rows).toEqual([]);
  });

  it('read is a member of the organization; nobody else is told that the agent exists', async () => {
    await writeEntry(orgAdmin, fixture);
    const elsewhere = `${entryPath}?organization_id=01a1fe84-6e71-74c4-b4d3-597185d7e2d2`;

    expect((await outrigger.call(null, 'GET', entryPath)).status).toBe(401);
    expect((await outrigger.call(outrigger.people.bob, 'GET', entryPath)).status).toBe(200);
    expect((await outrigger.call(outrigger.people.bob, 'GET', elsewhere)).status).toBe(404);
  });
});

describe('a secret', () => {
  it('is written and listed without its values', async () => {
    const value = canary();
    const written = await outrigger.call(orgAdmin, 'PUT', secretPath('ai-credentials'), { 'api-key': value });
    const listed = await outrigger.call(orgAdmin, 'GET', '/api/v2/agents/secrets');

    expect(written.status).toBe(200);
    expect(written.body).toMatchObject({ name: 'ai-credentials', keys: ['api-key'] });
    expect(listed.body.items).toEqual([written.body]);
    expect(JSON.stringify([written.body, listed.body])).not.toContain(value);
    expect((await outrigger.call(orgAdmin, 'GET', secretPath('ai-credentials'))).body).toEqual(written.body);
    expect((await outrigger.call(orgAdmin, 'DELETE', secretPath('ai-credentials'))).status).toBe(204);
    expect((await outrigger.call(orgAdmin, 'DELETE', secretPath('ai-credentials'))).status).toBe(404);
  });

  it.each<[string, string, unknown]>([
    ['no key', 'x', {}],
    ['an empty value', 'x', { key: '' }],
    ['a value that is no text', 'x', { key: 1 }],
    ['a key that is no name', 'x', { 'a b': 'v' }],
    ['a name that is none', 'A_B', { key: 'v' }],
  ])('is refused with %s, without repeating a value', async (_what, name, body) => {
    const { status, body: problem } = await outrigger.call(orgAdmin, 'PUT', secretPath(name), body);

    expect([status, problem.code]).toEqual([400, 'invalid_request']);
  });
});

describe('a stored provider key', () => {
  const ask = async (token: string): Promise<string> => {
    const response = await fetch(`${outrigger.url}/llm/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify({ model: 'outrigger/default', messages: [{ role: 'user', content: 'SCENARIO:text' }] }),
    });
    return response.text();
  };

  it('O-47 is what the gateway calls its upstream with; no workspace, event, audit row or log line holds it, nor ANTHROPIC_API_KEY', async () => {
    const secret = { openrouter: canary(), anthropic: canary(), github: canary() };
    await outrigger.call(orgAdmin, 'PUT', secretPath('ai-credentials'), {
      openrouter: `${secret.openrouter}\n`,
      anthropic: secret.anthropic,
      github: secret.github,
    });
    const from = (env: string, key: string) => credential(env, { secretRef: { name: 'ai-credentials', key } });
    const credentials = [
      from('ANTHROPIC_API_KEY', 'anthropic'),
      from('GITHUB_TOKEN', 'github'),
      from('OPENROUTER_API_KEY', 'openrouter'),
    ];
    expect((await writeEntry(orgAdmin, manifest({ credentials }))).status).toBe(200);
    const bridge = await outrigger.bridge();
    const submitted = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } },
    });
    const lease = await takeLease(bridge);
    const answer = await ask(lease.task_token);

    // Only the key that this upstream takes, not the one of another provider.
    expect(outrigger.model.requests.at(-1)?.authorization).toBe(`Bearer ${secret.openrouter}`);
    await outrigger.call(orgAdmin, 'DELETE', entryPath);
    await ask(lease.task_token);
    expect(outrigger.model.requests.at(-1)?.authorization).toBeNull();

    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    const path = `/api/v2/agents/tasks/${(submitted.body as { id: string }).id}`;
    const task = await eventually('the task to finish', async () => {
      const { body } = await outrigger.call(outrigger.people.ada, 'GET', path);
      return body.state === 'finished' ? (body as unknown) : undefined;
    });
    const tables = [
      'task',
      'task_event',
      'attempt',
      'audit_event',
      'bridge_frame',
      'model_call',
      'task_token',
      'secret',
    ];
    const rows = [];
    for (const table of tables)
      rows.push(...(await outrigger.database.pool.query(`select row_to_json(t)::text from ${table} t`)).rows);
    const everything = JSON.stringify([lease, bridge.commands, answer, task, rows, outrigger.log()]);
    expect(everything).toContain(lease.task_id);
    for (const value of Object.values(secret)) expect(everything).not.toContain(value);
    bridge.close();
  });
});

describe('a stored git token', () => {
  const token = canary();
  let forge: GitForge;
  beforeAll(async () => {
    forge = await startGitForge({ username: 'x-access-token', password: token });
    forge.addRepository('acme/app');
    const build = outrigger.coder.world.workspaces.get(outrigger.workspace.id)?.builds.at(-1);
    Object.assign(build?.parameters ?? {}, { git_repository: `http://${forge.host}/acme/app.git` });
  });
  afterAll(() => forge.close());

  /** A running task's token; what is asked for ends with the test. */
  const runTask = async () => {
    const bridge = await outrigger.bridge();
    const submitted = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'x', context: { workspace_id: 'ws-123' } },
    });
    const lease = await takeLease(bridge);
    const authorization = `Bearer ${lease.task_token}`;
    const ask = async (path: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(`${outrigger.url}/git/${path}`, { headers: { authorization } });
      return { status: response.status, text: await response.text() };
    };
    const end = async (): Promise<void> => {
      await bridge.request('result', { ...lease, evidence: goodEvidence() });
      const task = `/api/v2/agents/tasks/${(submitted.body as { id: string }).id}`;
      await eventually('the task to finish', async () => {
        const { body } = await outrigger.call(outrigger.people.ada, 'GET', task);
        return body.state === 'finished';
      });
      bridge.close();
    };
    return { ask, end };
  };
  const store = (): Promise<unknown> =>
    outrigger.call(orgAdmin, 'PUT', secretPath('github-credentials'), { token: `${token}\n` });
  const github = (rest: Record<string, unknown> = {}) =>
    credential('GITHUB_TOKEN', { secretRef: { name: 'github-credentials', key: 'token' }, host: forge.host, ...rest });
  const refsOf = (service: string): string => `${forge.host}/acme/app.git/info/refs?service=git-${service}-pack`;

  it('O-46 is what the broker shows to its host and nobody else; the entry’s provider key is no business of the broker, and reads hold neither', async () => {
    const provider = canary();
    await store();
    expect(await writeEntry(orgAdmin, fixture)).toMatchObject({ status: 200, body: parse(fixture) as object });
    await outrigger.call(orgAdmin, 'PUT', secretPath('ai-credentials'), { 'api-key': provider });
    const written = await writeEntry(orgAdmin, manifest({ credentials: [credential('OPENROUTER_API_KEY'), github()] }));
    expect(written.body.status.credentials.map(({ destination }: { destination: string }) => destination)).toEqual([
      'gateway',
      'broker',
    ]);
    const { ask, end } = await runTask();

    const found = await ask(refsOf('upload'));

    expect([found.status, found.text]).toEqual([200, expect.stringContaining('refs/heads/main')]);
    const shown = forge.requests.map(({ authorization }) => authorization);
    expect(shown.at(-1)).toBe(`Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`);
    expect(shown.join()).not.toContain(provider);
    // The service's own words for it: the secret store, the entry, the list of what a task reaches.
    const reads = [
      await outrigger.call(orgAdmin, 'GET', '/api/v2/agents/secrets'),
      await outrigger.call(orgAdmin, 'GET', entryPath),
      await ask('access'),
      written,
      found,
    ];
    for (const value of [token, provider]) expect(JSON.stringify([reads, outrigger.log()])).not.toContain(value);
    await end();
    expect((await ask(refsOf('upload'))).status).toBe(401);
  });

  it('O-48 is GITHUB_TOKEN: for github.com unless its entry names a host, pushing where its scope allows it, until it expires', async () => {
    await store();
    const given = async (rest: Record<string, unknown>) => {
      const { body } = await writeEntry(orgAdmin, manifest({ credentials: [github(rest)] }));
      return body.status.credentials[0] as Record<string, unknown>;
    };
    const { ask, end } = await runTask();
    const access = async () => (JSON.parse((await ask('access')).text) as { items: Record<string, unknown>[] }).items;
    const later = new Date(Date.now() + 3_600_000).toISOString();

    expect(await given({ host: undefined })).toMatchObject({ host: 'github.com', scope: null, expires_at: null });
    expect([await access(), (await ask(refsOf('upload'))).text]).toEqual([[], expect.stringMatching(/No credential/)]);

    await given({ scope: ['contents:read'], expiresAt: later });
    expect(await access()).toEqual([
      {
        repository: `${forge.host}/acme/app`,
        credential: 'github-token',
        env: 'GITHUB_TOKEN',
        scope: ['contents:read'],
        expires_at: later,
        expired: false,
        may_push: false,
        branches: ['agent/*'],
      },
    ]);
    expect([(await ask(refsOf('upload'))).status, await ask(refsOf('receive'))]).toEqual([
      200,
      { status: 403, text: expect.stringMatching(/may not push: its scope is contents:read/) },
    ]);

    await given({ scope: ['contents:write'], expiresAt: later });
    expect((await ask(refsOf('receive'))).status).toBe(200);
    await given({ repositories: ['acme/other', 'others/*'] });
    expect((await ask(refsOf('upload'))).text).toMatch(/No credential/);
    await given({ repositories: ['acme/*'] });
    expect((await ask(refsOf('upload'))).status).toBe(200);

    await given({ scope: ['contents:write'], expiresAt: '2020-01-01T00:00:00Z' });
    const asked = forge.requests.length;
    expect(await ask(refsOf('upload'))).toEqual({ status: 403, text: expect.stringMatching(/expired at 2020-01-01/) });
    expect(await access()).toMatchObject([{ expired: true, may_push: false }]);
    expect(forge.requests.length).toBe(asked);
    await end();
  });
});
