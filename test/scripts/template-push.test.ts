import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createClient } from 'coder-sdk-ts';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { pushTemplates } from '../../scripts/push-template.ts';
import { makeTemplateSecretClient } from '../../scripts/service-client.ts';
import { tarOf } from '../../scripts/tar.ts';
import { runPush, type PushFlags, type Rendering } from '../../scripts/template-push.ts';
import { runSecret, type SecretFlags } from '../../scripts/template-secret.ts';
import { processClock, type Surroundings } from '../../scripts/template-context.ts';
import { imageFlags, images, publicUrl, ran, renderedTemplates, type Ran } from './template-harness.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { filesOf } from '../support/coder/archive.ts';
import { registerBridge } from '../support/fake-bridge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

let test: TestService;
let folder: string;
let rendering: Rendering;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-push-'));
  rendering = renderedTemplates(folder);
  test = await startTestService();
});
afterAll(async () => {
  await test.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  test.coder.heal();
  test.coder.world.importEnds = null;
});

/** A template admin nobody has seen yet: Coder takes twelve uploads a minute from each. */
const someAdmin = (): Person =>
  test.coder.addUser({ username: `admin-${test.coder.world.users.size}`, roles: ['template-admin'] });

const as = (person: Person) => ({ coderUrl: test.coder.url, token: person.token, home: folder });

/** A push that makes a version even where nothing changed, unless it is told otherwise. */
const push = (flags: Partial<PushFlags> = {}, person = someAdmin(), given: Partial<Surroundings> = {}): Promise<Ran> =>
  ran(
    as(person),
    (around) =>
      runPush(
        rendering,
        ['docker'],
        { service: test.url, output: 'json', var: imageFlags, timeout: '20', force: true, ...flags },
        around,
      ),
    given,
  );
const secret = (flags: Partial<SecretFlags>, person = someAdmin()): Promise<Ran> =>
  ran(as(person), (around) => runSecret('docker', { service: test.url, output: 'text', ...flags }, around));

interface Pushed {
  readonly version: string;
  readonly version_id: string;
  readonly template_id: string;
  readonly kid: string;
  readonly created: boolean;
}
const pushed = ({ stdout }: Ran): Pushed => JSON.parse(stdout) as Pushed;
/** What Coder was given for a version: the secret too. */
const variablesOf = (versionId: string) => test.coder.world.versions.get(versionId)?.variables ?? {};
const secretOf = (versionId: string): string => variablesOf(versionId)['outrigger_secret'] ?? '';
const newestVersion = () => [...test.coder.world.versions.values()].at(-1);
const template = () => [...test.coder.world.templates.values()].find(({ name }) => name === 'docker');
const kidRow = async (kid: string) =>
  (await test.database.pool.query('select * from template_secret where kid = $1', [kid])).rows[0] as Record<
    string,
    unknown
  >;
const kids = async (): Promise<number> =>
  (await test.database.pool.query('select kid from template_secret')).rows.length;
const actionsOn = async (kid: string) =>
  (
    await test.database.pool.query<{ action: string; outcome: string }>(
      'select action, outcome from audit_event where target_id = $1 order by id',
      [kid],
    )
  ).rows;
const callsSince = (at: number): readonly (string | null)[] => test.coder.calls.slice(at).map(({ route }) => route);

type Workspace = ReturnType<TestService['coder']['addWorkspace']>;
const register = async (workspace: Workspace, proof: string): Promise<number> =>
  (await registerBridge({ url: test.url, proof, workspaceId: workspace.id, agentId: workspace.agentId })).status;
const proofOf = (of: string, workspace: Workspace): string =>
  deriveProof(of, workspace.id, test.people.ada.id, workspace.agentId);

async function dumpDatabase(): Promise<string> {
  const { rows: tables } = await test.database.pool.query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await test.database.pool.query<{ row: string }>(`select t::text as row from ${name} t`);
    texts.push(name, ...rows.map(({ row }) => row));
  }
  return texts.join('\n');
}

describe('outrigger template push', () => {
  it('makes a version with a secret of its own active; each push rotates, and workspaces of both versions register', async () => {
    const first = await push();
    const one = test.coder.addWorkspace({ owner: 'ada', name: 'from-one', running: true });
    const second = await push();
    const two = test.coder.addWorkspace({ owner: 'ada', name: 'from-two', running: true });

    expect([first.code, second.code]).toEqual([0, 0]);
    const [before, after] = [pushed(first), pushed(second)];
    const [secretOne, secretTwo] = [secretOf(before.version_id), secretOf(after.version_id)];
    expect(secretOne).toMatch(new RegExp(`^ors_${before.kid}_[A-Za-z0-9_-]{43}$`));
    expect(secretTwo).toMatch(new RegExp(`^ors_${after.kid}_[A-Za-z0-9_-]{43}$`));
    expect(secretTwo).not.toBe(secretOne);
    expect(template()?.activeVersionId).toBe(after.version_id);
    expect(await register(one, proofOf(secretOne, one))).toBe(201);
    expect(await register(two, proofOf(secretTwo, two))).toBe(201);
    expect(await kidRow(after.kid)).toMatchObject({ template_version_id: after.version_id, retired_at: null });
    expect(await kidRow(before.kid)).toMatchObject({ template_version_id: before.version_id, retired_at: null });
    expect(await actionsOn(after.kid)).toEqual([
      { action: 'template_secret.minted', outcome: 'success' },
      { action: 'template_secret.attached', outcome: 'success' },
    ]);
  });

  it('refuses a proof whose kid is forged, or of another version', async () => {
    const { version_id: versionId, kid } = pushed(await push());
    const workspace = test.coder.addWorkspace({ owner: 'ada', name: 'forged', running: true });
    const hash = proofOf(secretOf(versionId), workspace).split('.')[1];
    const other = pushed(await push()).kid;

    expect(await register(workspace, `ffffffffffff.${hash}`)).toBe(401);
    expect(await register(workspace, `${other}.${hash}`)).toBe(401);
    expect(await register(workspace, `${kid}.${hash}`)).toBe(201);
  });

  it('leaves the secret in no output, log line, audit row or row of the database, in any form', async () => {
    const run = await push({ output: 'text' });
    const value = secretOf(newestVersion()?.id ?? '');

    const trace = run.stdout + run.stderr + test.log() + (await dumpDatabase());

    expect(run.stdout).toContain('is active, with secret');
    expect(value).toMatch(/^ors_/);
    expect(trace).toContain(value.split('_')[1]);
    const tail = value.slice(-43);
    for (const form of [tail, Buffer.from(tail).toString('hex'), Buffer.from(value).toString('base64')])
      expect(trace).not.toContain(form);
  });

  it('sends the rendered files and every variable, and says in Coder what the README says', async () => {
    const { version_id: versionId } = pushed(await push({ versionName: 'v-7', message: 'devbox 2' }));

    const version = test.coder.world.versions.get(versionId);
    const archive = test.coder.world.files.get(version?.fileId ?? '')?.bytes ?? Buffer.alloc(0);
    const read = (path: string) => readFileSync(join(rendering.directory, 'docker', path), 'utf8');
    expect(Object.fromEntries(filesOf(archive))).toEqual({
      'README.md': read('README.md'),
      'main.tf': read('main.tf'),
    });
    expect(version).toMatchObject({ name: 'v-7', message: 'devbox 2' });
    expect(variablesOf(versionId)).toEqual({
      outrigger_url: publicUrl,
      outrigger_secret: secretOf(versionId),
      ...images,
    });
    expect(template()).toMatchObject({
      displayName: 'Docker with an agent beside you',
      description: 'Containers on a Docker host, with a coding agent in a container of its own',
      icon: '/icon/docker.png',
    });
  });

  it('changes the texts of a template only when they differ, so that older Coders keep its settings', async () => {
    await push();
    const at = test.coder.calls.length;

    await push();

    expect(callsSince(at)).toContain('PATCH /api/v2/templates/{template}/versions');
    expect(callsSince(at)).not.toContain('PATCH /api/v2/templates/{template}');
  });

  it('says the settings of a template again when it changes its texts', async () => {
    const old = template();
    if (old) old.displayName = 'Old';
    const sent: string[] = [];
    const { token } = someAdmin();
    const coder = createClient({
      url: test.coder.url,
      token,
      fetch: async (request, init) => {
        if (request instanceof Request && request.method === 'PATCH') sent.push(await request.clone().text());
        return fetch(request, init);
      },
    });
    const files = new Map([['main.tf', '']]);

    await pushTemplates([
      {
        name: 'docker',
        package: { files, archive: tarOf(files), metadata: { display_name: 'New', description: 'd', icon: '' } },
        values: {},
        sensitive: [],
        activate: true,
        force: true,
        takeOver: false,
        clock: processClock,
        pace: (act) => act(),
        organization: { id: test.coder.organizationId, name: 'coder' },
        versionName: undefined,
        message: undefined,
        coder,
        secrets: makeTemplateSecretClient({ url: test.url, token }),
        tell: () => undefined,
        signal: new AbortController().signal,
        timeoutMs: 20_000,
        pollMs: 5,
      },
    ]);

    expect(template()).toMatchObject({ displayName: 'New', description: 'd' });
    expect(JSON.parse(sent.at(-1) ?? '')).toMatchObject({
      display_name: 'New',
      default_ttl_ms: expect.any(Number),
      activity_bump_ms: expect.any(Number),
      allow_user_autostart: true,
      allow_user_autostop: true,
      allow_user_cancel_workspace_jobs: false,
      require_active_version: false,
    });
  });

  it('creates the template when there is none of its name', async () => {
    for (const [id, { name }] of test.coder.world.templates)
      if (name === 'docker') test.coder.world.templates.delete(id);

    const run = await push();

    expect(run.code).toBe(0);
    expect(pushed(run)).toMatchObject({ created: true });
    expect(template()).toMatchObject({
      displayName: 'Docker with an agent beside you',
      activeVersionId: pushed(run).version_id,
    });
  });

  it('takes values from a file, with --var over it', async () => {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, `max_cpu: 4\nmax_profile: trusted\nexecutor_images: ${images.executor_images}\n`);
    const lines = [`opencode_image=${images.opencode_image}`, 'max_profile=read-only'];

    const { version_id: versionId } = pushed(await push({ varsFile: file, var: lines }));

    expect(variablesOf(versionId)).toMatchObject({ max_cpu: '4', max_profile: 'read-only', ...images });
  });
});

describe('outrigger template push that fails', () => {
  it('shows the error of the import, keeps the active version and its secret, and retires the new one', async () => {
    const { version_id: versionId, kid } = pushed(await push());
    const workspace = test.coder.addWorkspace({ owner: 'ada', name: 'keeps', running: true });
    test.coder.world.importEnds = { status: 'failed', error: 'terraform plan: exit status 1' };

    const run = await push();

    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toContain('terraform plan: exit status 1');
    expect(template()?.activeVersionId).toBe(versionId);
    expect(await register(workspace, proofOf(secretOf(versionId), workspace))).toBe(201);
    const failed = secretOf(newestVersion()?.id ?? '');
    expect(await register(workspace, proofOf(failed, workspace))).toBe(401);
    expect((await kidRow(failed.split('_')[1] ?? ''))['retired_at']).not.toBeNull();
    expect((await kidRow(kid))['retired_at']).toBeNull();
    expect(await actionsOn(failed.split('_')[1] ?? '')).toEqual([
      { action: 'template_secret.minted', outcome: 'success' },
      { action: 'template_secret.retired', outcome: 'success' },
    ]);
  });

  it('hides the secret even when the error of the import repeats it', async () => {
    const world = test.coder.world;
    // The error is read when the import ends, and by then the secret is known here.
    world.importEnds = {
      status: 'failed',
      get error() {
        return `bad value ${secretOf(newestVersion()?.id ?? '')}`;
      },
    };

    const run = await push();

    expect(run.stderr).toContain('bad value [secret]');
    expect(run.stderr).not.toContain(secretOf(newestVersion()?.id ?? '').slice(-43));
  });

  it.each([
    ['the upload', 'POST /api/v2/files'],
    ['the import', 'POST /api/v2/organizations/{organization}/templateversions'],
    ['making it active', 'PATCH /api/v2/templates/{template}/versions'],
  ])('retires the new secret when Coder refuses %s', async (_what, route) => {
    const { version_id: versionId } = pushed(await push());
    test.coder.fail(route, 403);

    const run = await push();

    expect(run.code).toBe(1);
    const kid = /secret ([0-9a-f]{12}) is retired/.exec(run.stderr)?.[1] ?? '';
    expect((await kidRow(kid))['retired_at']).not.toBeNull();
    expect(template()?.activeVersionId).toBe(versionId);
  });

  it('keeps the new secret when nobody can say whether the version became active', async () => {
    await push();
    test.coder.fail('PATCH /api/v2/templates/{template}/versions', 502);

    const run = await push();

    expect(run.code).toBe(1);
    expect(run.stderr).toContain('its secret stays valid');
    const kid = /Secret ([0-9a-f]{12}) is minted/.exec(run.stderr)?.[1] ?? '';
    expect((await kidRow(kid))['retired_at']).toBeNull();
  });

  it('survives a Coder that is away for a moment during the import', async () => {
    const away = (line: string): void => {
      if (line.startsWith('Uploaded'))
        test.coder.fail('GET /api/v2/templateversions/{templateversion}', 502, { times: 3 });
    };

    expect((await push({}, someAdmin(), { tell: away })).code).toBe(0);
  });

  it('ends with 124 when no provisioner takes the import, and retires the secret', async () => {
    const { timing } = test.coder.world;
    test.coder.world.timing = { ...timing, pendingMs: Number.POSITIVE_INFINITY };

    const run = await push({ timeout: '0.05' });
    test.coder.world.timing = timing;

    expect(run.code).toBe(124);
    expect(run.stderr).toMatch(/place 1 in the queue[\s\S]*did not end within 0.05 s[\s\S]*is retired/);
  });

  it('retires the secret when a signal stops it', async () => {
    const { timing } = test.coder.world;
    test.coder.world.timing = { ...timing, pendingMs: Number.POSITIVE_INFINITY };
    const controller = new AbortController();
    const running = push({}, someAdmin(), { signal: controller.signal });
    const deadline = Date.now() + 20_000;
    const at = test.coder.calls.length;
    while (!callsSince(at).includes('GET /api/v2/templateversions/{templateversion}') && Date.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));

    controller.abort(new CommandFailure(130, 'Stopped by SIGINT.'));
    const run = await running;
    test.coder.world.timing = timing;

    expect(run.code).toBe(130);
    expect(run.stderr).toMatch(/Stopped by SIGINT[\s\S]*is retired/);
  });

  it('refuses who may not update templates: nothing is minted or sent, and the refusal is audited', async () => {
    const [at, count] = [test.coder.calls.length, await kids()];

    const run = await push({}, test.people.ada);

    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toContain('You may not update template docker');
    expect(callsSince(at)).not.toContain('POST /api/v2/files');
    expect(await kids()).toBe(count);
    const { rows } = await test.database.pool.query(
      `select action from audit_event where actor = $1 and outcome = 'denied' and action = 'template_secret.minted'`,
      [`user:${test.people.ada.id}`],
    );
    expect(rows).toHaveLength(1);
  });

  it('refuses a folder that is not as it renders, and names the files', async () => {
    const from = join(folder, 'changed');
    cpSync(join(rendering.directory, 'docker'), join(from, 'docker'), { recursive: true });
    writeFileSync(join(from, 'docker', '.env'), 'never sent');
    writeFileSync(join(from, 'docker', 'terraform.tfstate'), 'never sent');
    expect((await push({ from, dryRun: true })).code).toBe(0);
    writeFileSync(join(from, 'docker', 'main.tf'), '# by hand\n');
    writeFileSync(join(from, 'docker', 'extra.tf'), '');
    const at = test.coder.calls.length;

    const run = await push({ from });

    expect(run.code).toBe(1);
    expect(run.stderr).toContain('extra.tf (extra), main.tf (modified)');
    expect(test.coder.calls).toHaveLength(at);
  });

  it.each([
    ['no image', [], 'no value for opencode_image and executor_images'],
    ['an unpinned image', [...imageFlags, 'opencode_image=opencode:latest'], 'opencode_image has an image without'],
    ['an empty list of images', [...imageFlags, 'executor_images=[]'], 'a list with at least one image'],
    ['a variable nobody knows', [...imageFlags, 'colour=red'], 'no variable colour'],
    ['a secret', [...imageFlags, 'outrigger_secret=ors_mine'], 'Push mints outrigger_secret itself'],
    ['no name', [...imageFlags, '=x'], 'name=value'],
  ])('exits 2 for %s, before anything is minted or sent', async (_what, lines, sentence) => {
    const [at, count] = [test.coder.calls.length, await kids()];

    const run = await push({ var: lines });

    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(sentence);
    expect(run.stderr).not.toContain('ors_mine');
    expect(test.coder.calls).toHaveLength(at);
    expect(await kids()).toBe(count);
  });

  it('exits 2 when no Outrigger answers, and sends nothing to Coder but questions', async () => {
    const at = test.coder.calls.length;

    const run = await push({ service: 'http://127.0.0.1:9' });

    expect(run.code).toBe(2);
    expect(run.stderr).toContain('could not be reached');
    expect(callsSince(at).every((route) => route?.startsWith('GET '))).toBe(true);
  });

  it('does not carry the token in the clear to another machine', async () => {
    const run = await push({ service: 'http://outrigger.example.com' });

    expect(run.code).toBe(2);
    expect(run.stderr).toContain('in the clear');
  });
});

describe('outrigger template push --dry-run', () => {
  it('shows what would be sent, and asks nobody', async () => {
    const at = test.coder.calls.length;

    const run = await push({ dryRun: true });

    expect(JSON.parse(run.stdout)).toMatchObject({
      template: 'docker',
      display_name: 'Docker with an agent beside you',
      files: [{ path: 'README.md' }, { path: 'main.tf' }],
      variables: { outrigger_secret: '[minted by the push]', ...images },
    });
    expect(test.coder.calls).toHaveLength(at);
  });
});

describe('outrigger template secret', () => {
  it('writes the secret into a new file that only its owner reads, and prints it nowhere', async () => {
    const file = join(folder, 'secret.yaml');

    const run = await secret({ toFile: file });

    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/^outrigger_secret: ors_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(run.code).toBe(0);
    expect(run.stdout + run.stderr).not.toContain('ors_');
  });

  it('mints nothing when the file is there already, or nobody said where to', async () => {
    const count = await kids();
    const file = join(folder, 'taken.yaml');
    writeFileSync(file, 'mine');

    const [taken, nowhere] = [await secret({ toFile: file }), await secret({})];

    expect([taken.code, nowhere.code]).toEqual([2, 2]);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(await kids()).toBe(count);
  });

  it('prints it once when asked to, alone, with a warning beside it', async () => {
    const run = await secret({ stdout: true });

    expect(run.stdout).toMatch(/^ors_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
    expect(run.stderr).toContain('Warning: the next line is a secret');
  });

  it('refuses who may not update templates, and leaves no file', async () => {
    const file = join(folder, 'refused.yaml');

    const run = await secret({ toFile: file }, test.people.bob);

    expect(run.code).toBe(1);
    expect(() => statSync(file)).toThrow('ENOENT');
  });
});

describe('The secrets of a template', () => {
  const path = (kid: string, name = 'docker') => `/api/v2/agents/templates/${name}/secrets/${kid}`;
  const versions = ['a0000000-0000-4000-8000-00000000000a', 'a0000000-0000-4000-8000-00000000000b'];
  const mint = async (): Promise<string> =>
    (
      (await test.call(test.people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {})).body as {
        kid: string;
      }
    ).kid;

  it('belong to one version each: the same again is fine, another is a conflict, and so is a retired one', async () => {
    const { admin } = test.people;
    const kid = await mint();
    const attach = async (version: string | undefined) =>
      (await test.call(admin, 'PUT', path(kid), { template_version_id: version })).status;

    expect(await attach(versions[0])).toBe(200);
    expect(await attach(versions[0])).toBe(200);
    expect(await attach(versions[1])).toBe(409);
    expect((await actionsOn(kid)).map(({ action }) => action)).toEqual([
      'template_secret.minted',
      'template_secret.attached',
    ]);

    const retired = await mint();
    expect((await test.call(admin, 'DELETE', path(retired))).status).toBe(204);
    expect((await test.call(admin, 'DELETE', path(retired))).status).toBe(204);
    const late = await test.call(admin, 'PUT', path(retired), { template_version_id: versions[0] });
    expect(late).toMatchObject({ status: 409, body: { code: 'template_secret_retired' } });
  });

  it('are changed by template admins only; the refusal is audited', async () => {
    const kid = await mint();

    const put = await test.call(test.people.ada, 'PUT', path(kid), { template_version_id: versions[0] });
    const retire = await test.call(test.people.ada, 'DELETE', path(kid));

    expect([put.status, retire.status]).toEqual([403, 403]);
    expect(await kidRow(kid)).toMatchObject({ template_version_id: null, retired_at: null });
    expect(await actionsOn(kid)).toEqual([
      { action: 'template_secret.minted', outcome: 'success' },
      { action: 'template_secret.attached', outcome: 'denied' },
      { action: 'template_secret.retired', outcome: 'denied' },
    ]);
  });

  it('are not found by an unknown kid, under another template, or without a person', async () => {
    const kid = await mint();
    const { admin } = test.people;

    expect((await test.call(admin, 'DELETE', path('ffffffffffff'))).status).toBe(404);
    expect((await test.call(admin, 'DELETE', path(kid, 'kata'))).status).toBe(404);
    expect((await test.call(admin, 'DELETE', path('nonsense'))).status).toBe(400);
    expect((await test.call(null, 'DELETE', path(kid))).status).toBe(401);
  });
});

describe('The real command', () => {
  it('pushes with the environment alone, tells progress beside the result, and its arguments hold no secret', async () => {
    const file = join(folder, 'command.yaml');
    writeFileSync(file, JSON.stringify(images));
    const command = join(import.meta.dirname, '../../scripts/outrigger.mjs');
    const child = spawn(
      process.execPath,
      [
        command,
        'template',
        'push',
        'docker',
        '--vars-file',
        file,
        '--service',
        test.url,
        '--from',
        rendering.directory,
        '--force',
        '-o',
        'json',
      ],
      {
        cwd: folder,
        env: {
          PATH: process.env['PATH'],
          HOME: folder,
          CODER_URL: test.coder.url,
          CODER_SESSION_TOKEN: someAdmin().token,
          OUTRIGGER_URL: publicUrl,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));

    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('succeeded') });
    const { version_id: versionId } = JSON.parse(stdout) as Pushed;
    expect(template()?.activeVersionId).toBe(versionId);
    expect(stdout + stderr).not.toContain(secretOf(versionId).slice(-43));
  });
});
