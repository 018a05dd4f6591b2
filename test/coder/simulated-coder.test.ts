import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createClient, type CoderClient } from 'coder-sdk-ts';
import {
  finished,
  realistic,
  startSimulatedCoder,
  type Role,
  type SimulatedCoder,
} from '../support/coder/simulated-coder.ts';
import { tarOf } from '../support/coder/tar.ts';

let now = 0;
let coder: SimulatedCoder;
let alice: { id: string; token: string };
let client: CoderClient;

beforeEach(async () => {
  now = Date.UTC(2026, 10, 21);
  coder = await startSimulatedCoder({ now: () => now, timing: realistic });
  alice = coder.addUser({ username: 'alice' });
  client = createClient({ url: coder.url, token: alice.token });
});
afterEach(() => coder.close());

const statusOf = (act: Promise<unknown>): Promise<number> =>
  act.then(
    () => 200,
    (error: { status: number }) => error.status,
  );
const as = (username: string, ...roles: readonly Role[]): CoderClient =>
  createClient({ url: coder.url, token: coder.addUser({ username, roles }).token });

describe('builds of the simulated Coder (part of D21)', () => {
  it('pass every stage, in time', async () => {
    const { id } = coder.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    const stages: string[] = [];
    const look = async (): Promise<void> => {
      const { latest_build: build } = await client.getWorkspace(id);
      const [agent] = (build.resources ?? []).flatMap((resource) => resource.agents ?? []);
      stages.push(`${build.status} ${build.job.status} ${agent?.status ?? '-'} ${agent?.lifecycle_state ?? '-'}`);
    };

    await client.createBuild(id, { transition: 'start' });
    for (const stepMs of [0, realistic.pendingMs, realistic.runningMs, realistic.connectMs, realistic.readyMs]) {
      now += stepMs;
      await look();
    }

    expect(stages).toEqual([
      'pending pending - -',
      'starting running - -',
      'running succeeded connecting created',
      'running succeeded connected created',
      'running succeeded connected ready',
    ]);
  });

  it('refuse another build while one is on its way', async () => {
    const { id } = coder.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    await client.createBuild(id, { transition: 'start' });

    expect(await statusOf(client.createBuild(id, { transition: 'stop' }))).toBe(409);
    now += realistic.pendingMs + realistic.runningMs;
    expect(await statusOf(client.createBuild(id, { transition: 'stop' }))).toBe(200);
  });

  it('give a new agent id and a new agent token each, even to a running workspace', async () => {
    const first = coder.addWorkspace({ owner: 'alice', name: 'dev', running: true });

    const second = coder.buildWorkspace(first.id, 'start', { timing: finished });

    expect(second.agentId).not.toBe(first.agentId);
    expect(second.agentToken).not.toBe(first.agentToken);
    const { latest_build: build } = await client.getWorkspace(first.id);
    const agents = (build.resources ?? []).flatMap((resource) => resource.agents ?? []);
    expect(agents.map((agent) => agent.id)).toEqual([second.agentId]);
  });
});

describe('roles of the simulated Coder (part of D21)', () => {
  it.each([
    ['member', [], 404, 404],
    ['auditor', ['auditor'], 404, 404],
    ['user-admin', ['user-admin'], 404, 404],
    ['template-admin', ['template-admin'], 200, 403],
    ['organization-template-admin', ['organization-template-admin'], 200, 403],
    ['organization-admin', ['organization-admin'], 200, 200],
    ['owner', ['owner'], 200, 200],
  ] as const)("let a %s read and stop somebody's workspace, or not", async (name, roles, reads, stops) => {
    const { id } = coder.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    const other = as(`other-${name}`, ...roles);

    expect(await statusOf(other.getWorkspace(id))).toBe(reads);
    expect(await statusOf(other.createBuild(id, { transition: 'stop' }))).toBe(stops);
  });

  it('give an organization-admin no way into a workspace', async () => {
    const { id } = coder.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    const check = (action: string) => ({ object: { resource_type: 'workspace', resource_id: id }, action });

    const answers = await as('orgadmin', 'organization-admin').authCheck({ ssh: check('ssh'), start: check('start') });

    expect(answers).toEqual({ ssh: false, start: true });
  });
});

describe('pushing a template to the simulated Coder (part of D21)', () => {
  const source =
    'variable "secret" {\n  type = string\n}\nvariable "image" { default = "x" }\nresource "coder_agent" "main" {}\n';

  async function push(
    admin: CoderClient,
    files: Readonly<Record<string, string>>,
    values: { name: string; value: string }[],
  ) {
    const file_id = await admin.uploadFile(tarOf(files));
    const common = { storage_method: 'file', provisioner: 'terraform', tags: {} } as const;
    const { id } = await admin.createTemplateVersion('default', { ...common, file_id, user_variable_values: values });
    const before = (await admin.getTemplateVersion(id)).job.status;
    now += realistic.pendingMs + realistic.runningMs;
    return { id, before, after: await admin.getTemplateVersion(id) };
  }

  it('imports, becomes a template, and takes a new active version', async () => {
    const admin = as('tadmin', 'template-admin');
    const given = [{ name: 'secret', value: 'v' }];

    const first = await push(admin, { 'main.tf': source, 'README.md': '# Read me' }, given);
    const template = await admin.createTemplate('default', { name: 'docker', template_version_id: first.id });

    expect([first.before, first.after.job.status, first.after.readme]).toEqual(['pending', 'succeeded', '# Read me']);
    expect(template.active_version_id).toBe(first.id);
    coder.addWorkspace({ owner: 'alice', name: 'dev', running: true, template: 'docker' });
    expect((await client.getWorkspaceByName('me', 'dev')).template_id).toBe(template.id);
  });

  it.each([
    ['a variable has no value', { 'main.tf': source }, /required template variables need values: secret$/],
    [
      'a variable on one line has no value',
      { 'main.tf': `variable "secret" { type = string }\n${source}` },
      /: secret, secret$/,
    ],
    ['no Terraform file is in the root', { 'sub/main.tf': source }, /terraform plan: exit status 1$/],
    ['the braces do not match', { 'main.tf': 'resource "x" "y" {' }, /initialize terraform: exit status 1$/],
  ] as const)('fails when %s', async (_why, files, error) => {
    const { after } = await push(as('tadmin', 'template-admin'), files, []);

    expect(after.job.status).toBe('failed');
    expect(after.job.error).toMatch(error);
  });
});

describe('what tests can ask of the simulated Coder (part of D21)', () => {
  it('records method, path, route, name of the token and status', async () => {
    const narrow = coder.addToken({ owner: 'alice', name: 'narrow', scopes: ['workspace:read'] });

    await client.listWorkspaces('owner:me');
    await statusOf(createClient({ url: coder.url, token: narrow }).me());
    await fetch(`${coder.url}/api/v2/tasks`);

    expect(coder.calls).toEqual([
      {
        method: 'GET',
        path: '/api/v2/workspaces?q=owner%3Ame&limit=100&offset=0',
        route: 'GET /api/v2/workspaces',
        token: 'alice',
        status: 200,
      },
      { method: 'GET', path: '/api/v2/users/me', route: 'GET /api/v2/users/me', token: 'alice:narrow', status: 404 },
      { method: 'GET', path: '/api/v2/tasks', route: null, token: null, status: 404 },
    ]);
  });

  it('fails a route as often as it is told, until it is healed', async () => {
    coder.fail('GET /api/v2/users/me', 503, { times: 2 });
    expect([await statusOf(client.me()), await statusOf(client.me()), await statusOf(client.me())]).toEqual([
      503, 503, 200,
    ]);

    coder.fail('GET /api/v2/users/me', 403);
    expect(await statusOf(client.me())).toBe(403);
    coder.heal();
    expect(await statusOf(client.me())).toBe(200);
  });

  it('limits requests as it is told', async () => {
    const strict = await startSimulatedCoder({ requestsPerMinute: 2, now: () => now });
    const { token } = strict.addUser({ username: 'alice' });
    const limited = createClient({ url: strict.url, token });

    expect([await statusOf(limited.me()), await statusOf(limited.me()), await statusOf(limited.me())]).toEqual([
      200, 200, 429,
    ]);
    expect(await statusOf(limited.organizations())).toBe(200);
    now += 60_001;
    expect(await statusOf(limited.me())).toBe(200);
    await strict.close();
  });

  it('closes, also while a call hangs', async () => {
    const other = await startSimulatedCoder();
    other.stall('GET /api/v2/buildinfo');
    const hanging = statusOf(createClient({ url: other.url }).buildInfo());
    while (other.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));

    await other.close();

    expect(await hanging).toBe(0);
  });
});
