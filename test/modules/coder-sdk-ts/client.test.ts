import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CoderError, createClient, describedRoutes, type CallReport, type CoderClient } from 'coder-sdk-ts';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { renderCoderTypes } from '../../../scripts/generate-coder-types.ts';
import { finished, startSimulatedCoder, type SimulatedCoder } from '../../support/coder/simulated-coder.ts';
import { printWorkspaces } from './documented-example.ts';

let coder: SimulatedCoder;
let alice: { id: string; token: string };
let client: CoderClient;

beforeEach(async () => {
  coder = await startSimulatedCoder({ timing: finished });
  alice = coder.addUser({ username: 'alice' });
  client = createClient({ url: coder.url, token: alice.token });
});
afterEach(() => coder.close());

async function failureOf(act: () => Promise<unknown>): Promise<CoderError> {
  const error: unknown = await act().then(
    () => new Error('it succeeded'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof CoderError) return error;
  throw error;
}

const me = 'GET /api/v2/users/me';
const answers = (text: string, type = 'application/json') => ({ text, headers: { 'Content-Type': type } });

describe('K-02 the client', () => {
  it('sends one request per method, to the route of that name, and covers every described route', async () => {
    const admin = createClient({ url: coder.url, token: coder.addUser({ username: 'admin', roles: ['owner'] }).token });
    const workspace = coder.addWorkspace({ owner: 'alice', name: 'dev', running: false });
    const routes: string[] = [];
    const sent = async <Result>(act: Promise<Result>): Promise<Result> => {
      const before = coder.calls.length;
      const result = await act;
      expect(coder.calls.length).toBe(before + 1);
      routes.push(coder.calls.at(-1)?.route ?? '');
      return result;
    };

    expect((await sent(client.buildInfo())).version).toMatch(/^v/);
    expect((await sent(client.me())).id).toBe(alice.id);
    expect((await sent(admin.getUser(alice.id))).username).toBe('alice');
    expect((await sent(client.organizations()))[0]?.id).toBe(coder.organizationId);
    expect(await sent(client.createToken('me', { token_name: 'one', lifetime: 60e9 }))).toMatch(/^\w{10}-\w{22}$/);
    expect((await sent(client.getWorkspaceByName('me', 'dev'))).id).toBe(workspace.id);
    expect((await sent(client.listWorkspaces())).map((one) => one.name)).toEqual(['dev']);
    expect((await sent(client.getWorkspace(workspace.id))).name).toBe('dev');
    const choices = [{ name: 'size', value: 'l' }];
    const templateId = coder.world.workspaces.get(workspace.id)?.templateId ?? '';
    const created = await sent(
      client.createWorkspace('me', { name: 'new', template_id: templateId, rich_parameter_values: choices }),
    );
    expect(created).toMatchObject({ name: 'new', owner_id: alice.id, latest_build: { transition: 'start' } });
    const [first] = coder.world.workspaces.get(created.id)?.builds ?? [];
    expect(first?.parameters).toEqual({ size: 'l' });
    const build = await sent(client.createBuild(workspace.id, { transition: 'start' }));
    expect((await sent(client.getBuild(build.id))).status).toBe('running');
    expect(await sent(client.getBuildParameters(build.id))).toEqual([]);
    expect(
      await sent(client.authCheck({ a: { object: { resource_type: 'user', owner_id: 'me' }, action: 'read' } })),
    ).toEqual({ a: true });
    const file = await sent(admin.uploadFile(new TextEncoder().encode('not an archive')));
    expect(new TextDecoder().decode(await sent(admin.downloadFile(file)))).toBe('not an archive');
    const made = await sent(
      admin.createTemplateVersion('default', {
        storage_method: 'file',
        file_id: file,
        provisioner: 'terraform',
        tags: {},
      }),
    );
    expect((await sent(admin.getTemplateVersion(made.id))).job.status).toBe('failed');
    expect(await sent(admin.templateVersionVariables(made.id))).toEqual([]);
    expect(await sent(admin.templateVersionPresets(made.id))).toEqual([]);
    expect(Array.isArray(await sent(admin.templateVersionLogs(made.id)))).toBe(true);
    expect(await sent(admin.evaluateForm(made.id, alice.id, {}))).toMatchObject({
      diagnostics: [{ severity: 'warning', summary: expect.stringContaining('dynamic parameters') }],
    });
    const template = await sent(admin.createTemplate('default', { name: 'mine', template_version_id: made.id }));
    expect((await sent(admin.getTemplateByName('default', 'mine'))).id).toBe(template.id);
    expect((await sent(admin.listTemplates())).map(({ name }) => name)).toContain('mine');
    expect((await sent(admin.updateTemplate(template.id, { description: 'text' }))).description).toBe('text');
    const refused = await failureOf(() => sent(admin.activateTemplateVersion(template.id, made.id)));
    expect(refused.status).toBe(403);

    expect([...routes, coder.calls.at(-1)?.route].toSorted()).toEqual(
      describedRoutes.map((route) => `${route.method} ${route.path}`).toSorted(),
    );
  });

  it('has types that are generated from the description', async () => {
    const committed = readFileSync(
      new URL('../../../modules/coder-sdk-ts/generated/types.ts', import.meta.url),
      'utf8',
    );

    expect(committed).toBe(await renderCoderTypes());
  });

  it('takes null for lists and optional fields and ignores fields it does not know', async () => {
    const body = {
      id: alice.id,
      username: 'alice',
      email: null,
      organization_ids: null,
      roles: null,
      later: { added: 1 },
    };
    coder.fail(me, 200, answers(JSON.stringify(body)));

    expect((await client.me()).organization_ids).toBeNull();
  });

  it('names route and place of an answer that does not fit, and repeats nothing of it', async () => {
    coder.fail(me, 200, answers('{"id":"hunter2","username":"hunter2"}'));

    const error = await failureOf(() => client.me());

    expect(error.kind).toBe('unexpected_answer');
    expect(error.message).toContain('GET /api/v2/users/me');
    expect(error.message).toContain('/id must match format "uuid"');
    expect(`${error.message} ${String(error.detail)}`).not.toContain('hunter2');
  });

  it.each([
    ['a redirect', 303, { text: '', headers: { Location: 'http://127.0.0.1:9/login' } }],
    ['an HTML page', 200, answers('<html>secret</html>', 'text/html')],
    ['an HTML page that says not found', 404, answers('<html>secret</html>', 'text/html')],
    ['text that calls itself JSON', 200, answers('secret')],
  ] as const)('calls %s an unexpected answer', async (_what, status, answer) => {
    coder.fail(me, status, answer);

    const error = await failureOf(() => client.me());

    expect([error.kind, error.status]).toEqual(['unexpected_answer', status]);
    expect(error.message).not.toContain('secret');
  });

  it.each([
    [401, 'unauthenticated'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [409, 'conflict'],
    [410, 'gone'],
    [400, 'invalid'],
    [425, 'too_early'],
    [429, 'rate_limited'],
    [500, 'failed'],
    [502, 'unavailable'],
    [503, 'unavailable'],
  ] as const)('turns status %d into %s', async (status, kind) => {
    coder.fail(me, status, { headers: { 'Retry-After': '60' } });

    const error = await failureOf(() => client.me());

    expect([error.kind, error.status, error.retryAfterSeconds]).toEqual([kind, status, 60]);
  });

  it('carries what Coder says about single fields', async () => {
    const error = await failureOf(() => client.listWorkspaces('colour:red'));

    expect(error.message).toContain('Invalid workspace search query.');
    expect(error.validations).toEqual([{ field: 'colour', detail: '"colour" is not a valid query param' }]);
  });

  it('knows a missing right behind status 500', async () => {
    const workspace = coder.addWorkspace({ owner: 'alice', name: 'dev', running: true });
    const { template_id: template } = await client.getWorkspace(workspace.id);

    const error = await failureOf(() => client.updateTemplate(template, { description: 'mine' }));

    expect([error.status, error.kind]).toEqual([500, 'forbidden']);
    expect(error.detail).toContain('rbac: forbidden');
  });

  it('says that nobody listens', async () => {
    const { url } = coder;
    await coder.close();

    const error = await failureOf(() => createClient({ url }).buildInfo());

    expect([error.kind, error.status]).toEqual(['unreachable', 0]);
    expect(error.message).toContain(url);
    coder = await startSimulatedCoder();
  });
});

describe('K-02 whoever keeps account of calls', () => {
  it('hears method, route template, status and duration, and no query', async () => {
    const heard: CallReport[] = [];
    const told = createClient({ url: coder.url, token: alice.token, onCall: (call) => void heard.push(call) });
    const id = randomUUID();

    await told.listWorkspaces('owner:me name:private');
    await failureOf(() => told.getWorkspace(id));

    expect(heard).toEqual([
      { method: 'GET', route: '/api/v2/workspaces', pathParameters: {}, status: 200, durationMs: expect.any(Number) },
      {
        method: 'GET',
        route: '/api/v2/workspaces/{workspace}',
        pathParameters: { workspace: id },
        status: 404,
        durationMs: expect.any(Number),
        error: expect.objectContaining({ kind: 'not_found' }),
      },
    ]);
    expect(JSON.stringify(heard)).not.toContain('private');
    expect(JSON.stringify(heard)).not.toContain(alice.token);
  });

  it('can keep a request from being sent', async () => {
    const strict = createClient({
      url: coder.url,
      token: alice.token,
      beforeCall: () => Promise.reject(new Error('the intent cannot be written')),
    });

    await expect(strict.me()).rejects.toThrow('the intent cannot be written');
    expect(coder.calls).toEqual([]);
  });
});

describe('the token (part of C-31)', () => {
  it('travels as the header Coder-Session-Token and never as a cookie', async () => {
    const sent: Headers[] = [];
    const watching = createClient({
      url: `${coder.url}/`,
      token: alice.token,
      fetch: (input, init) => {
        sent.push((input as Request).headers);
        return fetch(input, init);
      },
    });

    await watching.me();

    expect(sent.map((headers) => headers.get('Coder-Session-Token'))).toEqual([alice.token]);
    expect(sent.some((headers) => headers.has('Cookie') || headers.has('Authorization'))).toBe(false);
    expect(coder.calls.map((call) => call.path)).toEqual(['/api/v2/users/me']);
  });
});

describe('K-08 listing workspaces', () => {
  it('gives name and status, as the documented example shows', async () => {
    coder.addWorkspace({ owner: 'alice', name: 'one', running: true });
    coder.addWorkspace({ owner: 'alice', name: 'two', running: false });

    expect(await printWorkspaces(coder.url, alice.token)).toEqual(['one is running', 'two is stopped']);
  });

  it('is documented by the example that runs here', () => {
    const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
    const [, documented] = /```ts\n(.*?)```/s.exec(read('../../../modules/coder-sdk-ts/README.md')) ?? [];

    expect(documented).toBe(read('./documented-example.ts'));
  });

  it('goes through all pages', async () => {
    const names = Array.from({ length: 130 }, (_none, index) => `box-${String(index).padStart(3, '0')}`);
    for (const name of names) coder.addWorkspace({ owner: 'alice', name, running: true });

    expect((await client.listWorkspaces('owner:me')).map((workspace) => workspace.name)).toEqual(names);
    expect(coder.calls.length).toBe(2);
  });
});

describe('K-11 a call that Coder does not answer', () => {
  const timeoutMs = 150;

  it('ends at the limit with an error that names the URL', async () => {
    coder.stall(me);
    const startedAt = performance.now();

    const error = await failureOf(() => createClient({ url: coder.url, token: alice.token, timeoutMs }).me());

    expect(error.kind).toBe('timeout');
    expect(error.message).toContain(coder.url);
    expect(error.message).toContain(`${timeoutMs} ms`);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(timeoutMs - 5);
    expect(performance.now() - startedAt).toBeLessThan(timeoutMs + 5_000);
  });

  it('ends at the limit also when only the body does not come', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).write('{"id":');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

    const error = await failureOf(() => createClient({ url, timeoutMs }).me());

    expect(error.kind).toBe('timeout');
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
});
