import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Clock, Surroundings } from '../../scripts/template-context.ts';
import { makePace, uploadPace } from '../../scripts/push-pace.ts';
import { runDiff } from '../../scripts/template-diff.ts';
import { runGet, runList } from '../../scripts/template-list.ts';
import { runCreate, runPush, type PushFlags, type Rendering } from '../../scripts/template-push.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';
import { catalogMessage } from '../../stacks/catalog-mark.ts';
import { emptyForm, type SimulatedForm } from '../support/coder/form.ts';
import { digest, imageFlags, images, ran, renderedTemplates, type Ran } from './template-harness.ts';

let test: TestService;
let folder: string;
let rendering: Rendering;
let admin: Person;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-again-'));
  rendering = renderedTemplates(folder, ['docker', 'kubernetes']);
  test = await startTestService();
});
afterAll(async () => {
  await test.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => {
  test.coder.heal();
  test.coder.world.importEnds = null;
  test.coder.world.form = emptyForm;
});

/** Coder takes twelve uploads a minute from one person, so each test has its own. */
const freshAdmin = (): Person =>
  (admin = test.coder.addUser({ username: `admin-${test.coder.world.users.size}`, roles: ['template-admin'] }));
const as = (person: Person) => ({ coderUrl: test.coder.url, token: person.token, home: folder });
const flagsOf = (flags: Partial<PushFlags>): PushFlags => ({
  service: test.url,
  output: 'json',
  var: imageFlags,
  timeout: '20',
  ...flags,
});
const push = (flags: Partial<PushFlags> = {}, person = admin, given: Partial<Surroundings> = {}): Promise<Ran> =>
  ran(as(person), (around) => runPush(rendering, ['docker'], flagsOf(flags), around), given);
const reading = { output: 'json' };

interface Pushed {
  readonly version: string;
  readonly version_id: string;
  readonly kid: string | null;
  readonly changed: boolean;
  readonly active: boolean;
}
const pushed = ({ stdout }: Ran): Pushed => JSON.parse(stdout) as Pushed;
const versions = (): number => test.coder.world.versions.size;
const template = () => [...test.coder.world.templates.values()].find(({ name }) => name === 'docker');
const kids = async (): Promise<number> =>
  (await test.database.pool.query('select kid from template_secret')).rows.length;
const retired = async (): Promise<number> =>
  (await test.database.pool.query('select kid from template_secret where retired_at is not null')).rows.length;

describe('outrigger template push, again', () => {
  it('makes no version and no secret when neither files nor values changed', async () => {
    const first = pushed(await push({}, freshAdmin()));
    const [made, minted] = [versions(), await kids()];

    const second = await push();

    expect(second.code).toBe(0);
    expect(pushed(second)).toMatchObject({ version_id: first.version_id, changed: false, active: true, kid: null });
    expect([versions(), await kids()]).toEqual([made, minted]);
    expect(template()?.activeVersionId).toBe(first.version_id);
  });

  it('makes one when a value changed, is forced, or the files in Coder are others, and says which', async () => {
    await push({}, freshAdmin());
    const otherValue = await push({ var: [...imageFlags, 'max_cpu=3'] });
    const same = await push({ var: [...imageFlags, 'max_cpu=3'] });
    const forced = await push({ var: [...imageFlags, 'max_cpu=3'], force: true });
    const active = test.coder.world.versions.get(template()?.activeVersionId ?? '');
    const other = { id: 'e0000000-0000-4000-8000-000000000001', ownerId: admin.id, digest: '', bytes: Buffer.from('') };
    test.coder.world.files.set(other.id, other);
    if (active) test.coder.world.versions.set(active.id, { ...active, fileId: other.id });
    const otherFiles = await push({ var: [...imageFlags, 'max_cpu=3'] });

    expect([otherValue, same, forced, otherFiles].map((run) => pushed(run).changed)).toEqual([true, false, true, true]);
    expect(otherValue.stderr).toContain('variable max_cpu differs');
    expect(otherFiles.stderr).toContain('README.md differs');
  });

  it('corrects the texts in Coder all the same', async () => {
    await push({}, freshAdmin());
    const found = template();
    if (found) found.description = 'old';

    const run = await push();

    expect(pushed(run).changed).toBe(false);
    expect(template()?.description).toMatch(/^Containers on a Docker host/);
  });

  it('leaves the version before active with --no-activate, and its own secret valid', async () => {
    const first = pushed(await push({ force: true }, freshAdmin()));
    const before = await retired();

    const run = await push({ force: true, activate: false });

    expect(pushed(run)).toMatchObject({ changed: true, active: false });
    expect(template()?.activeVersionId).toBe(first.version_id);
    expect(await retired()).toBe(before);
  });

  it('exits 2 for --no-activate where there is no template, because its first version is always active', async () => {
    const kept = template();
    if (kept) test.coder.world.templates.delete(kept.id);
    const minted = await kids();

    const run = await push({ activate: false }, freshAdmin());

    if (kept) test.coder.world.templates.set(kept.id, kept);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain('Leave --no-activate out');
    expect(await kids()).toBe(minted);
  });

  it('leaves a template alone that the stack coder-catalog published, unless it is to take over', async () => {
    await push({ force: true }, freshAdmin());
    const active = test.coder.world.versions.get(template()?.activeVersionId ?? '');
    if (active) test.coder.world.versions.set(active.id, { ...active, message: catalogMessage });
    const minted = await kids();

    const refused = await push({ force: true });

    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('belongs to the stack coder-catalog') });
    expect(await kids()).toBe(minted);
    expect((await push({ force: true, takeOver: true })).code).toBe(0);
  });

  it('tells what the import says while it runs, errors too', async () => {
    const good = await push({ force: true }, freshAdmin());
    test.coder.world.importEnds = { status: 'failed', error: 'no such provider' };
    const bad = await push({ force: true });

    expect(good.stderr).toMatch(/Initializing Terraform Directory\n {4}Terraform 1\.11\.4[\s\S]*Plan: 11 to add/);
    expect(bad.stderr).toContain('    error: Error: no such provider');
  });

  it('is not stopped by a log that Coder does not give', async () => {
    test.coder.fail('GET /api/v2/templateversions/{templateversion}/logs', 500);

    expect((await push({ force: true }, freshAdmin())).code).toBe(0);
  });

  it('fills the image variables from the images lock, with --var over it', async () => {
    const lock = join(folder, 'images.lock.json');
    const [opencode, base, devbox] = ['a', 'b', 'c'].map((one) => `registry.example.com/x:${one}${digest(one)}`);
    writeFileSync(lock, JSON.stringify({ version: 1, images: { opencode, base, devbox } }));
    const given = [`opencode_image=${images.opencode_image}`];

    const run = await push({ imagesLock: lock, var: given, dryRun: true }, freshAdmin());

    expect(JSON.parse(run.stdout)).toMatchObject({
      variables: { opencode_image: images.opencode_image, executor_images: JSON.stringify([base, devbox]) },
    });
  });

  it('warns of an image whose release has ended', async () => {
    const old = JSON.stringify([`ubuntu:20.04${digest('e')}`]);

    const run = await push({ dryRun: true, var: [...imageFlags, `executor_images=${old}`] }, freshAdmin());

    expect(run.code).toBe(0);
    expect(run.stderr).toContain('Warning: ubuntu:20.04 reached its end of life on 2025-05-31');
  });
});

describe('outrigger template push of several templates', () => {
  const both = (flags: Partial<PushFlags> = {}, given: Partial<Surroundings> = {}): Promise<Ran> =>
    ran(
      as(admin),
      (around) => runPush(rendering, ['docker', 'kubernetes'], flagsOf({ force: true, ...flags }), around),
      given,
    );

  it('makes all of them active, each with a secret of its own', async () => {
    freshAdmin();

    const run = await both();

    const results = JSON.parse(run.stdout) as readonly (Pushed & { template: string })[];
    expect(results.map((one) => [one.template, one.active])).toEqual([
      ['docker', true],
      ['kubernetes', true],
    ]);
    expect(new Set(results.map(({ kid }) => kid)).size).toBe(2);
  });

  it('makes none of them active when one fails, and retires the secrets of both', async () => {
    const first = pushed(await push({ force: true }, freshAdmin()));
    const before = await retired();
    const secondFails = (line: string): void => {
      if (line.includes('version of kubernetes')) test.coder.world.importEnds = { status: 'failed', error: 'no' };
    };

    const run = await both({}, { tell: secondFails });

    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toMatch(/Nothing of kubernetes became active[\s\S]*Nothing of docker became active/);
    expect(template()?.activeVersionId).toBe(first.version_id);
    expect(await retired()).toBe(before + 2);
  });

  it('gives each the values it has, and refuses one that none has', async () => {
    freshAdmin();

    const wanted = [...imageFlags, 'docker_host=ssh://a@b', 'namespace=agents'];
    const plan = JSON.parse((await both({ dryRun: true, var: wanted })).stdout) as { variables: object }[];
    const refused = await both({ dryRun: true, var: [...imageFlags, 'colour=red'] });

    expect(plan[0]?.variables).toMatchObject({ docker_host: 'ssh://a@b' });
    expect(plan[0]?.variables).not.toHaveProperty('namespace');
    expect(plan[1]?.variables).toMatchObject({ namespace: 'agents' });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('no variable colour') });
  });
});

describe('The form of a pushed version', () => {
  const cpu = { name: 'cpu', default: '1', validation: { error: 'from {min} to {max}, not {value}', min: 1, max: 4 } };
  const formWith = (value: string): SimulatedForm => ({
    parameters: [cpu],
    presets: [{ id: 'd6b3ce6b-5953-4b06-b873-cc13eb67f048', name: 'Large', parameters: { cpu: value } }],
  });

  it('is evaluated with its defaults and with every preset, as the person who pushes', async () => {
    test.coder.world.form = formWith('4');

    const run = await push({ force: true }, freshAdmin());

    expect(run.code).toBe(0);
    expect(run.stderr).toContain('The form is right with its defaults, preset Large.');
  });

  it('keeps the version before active when a preset gives an error, and retires the secret', async () => {
    const first = pushed(await push({ force: true }, freshAdmin()));
    const before = await retired();
    test.coder.world.form = formWith('9');

    const run = await push({ force: true });

    expect(run.code).toBe(1);
    expect(run.stderr).toContain('with preset Large: parameter cpu: ');
    expect(run.stderr).toContain('from 1 to 4, not 9');
    expect(template()?.activeVersionId).toBe(first.version_id);
    expect(await retired()).toBe(before + 1);
  });

  it('tells of a preset that sets what the form does not show', async () => {
    test.coder.world.form = { ...formWith('4'), parameters: [] };

    expect((await push({ force: true }, freshAdmin())).stderr).toContain('preset Large sets cpu, and the form has no');
  });
});

describe('The pace of uploads', () => {
  /** A clock that only sleeping moves. */
  const stepping = (): Clock & { readonly slept: number[] } => {
    const slept: number[] = [];
    let now = 0;
    return { slept, nowMs: () => now, sleep: async (ms) => void (slept.push(ms), (now += ms)) };
  };
  const signal = new AbortController().signal;

  it('is at most twelve in any minute', async () => {
    const clock = stepping();
    const pace = makePace({ ...uploadPace, clock, signal, tell: () => undefined });

    for (let sent = 0; sent < 25; sent += 1) await pace(() => Promise.resolve(sent));

    expect(clock.slept).toEqual([60_000, 60_000]);
  });

  it('waits as long as Coder says when others used it up, and then goes on', async () => {
    const clock = stepping();
    test.coder.fail('POST /api/v2/files', 429, { times: 1, headers: { 'Retry-After': '60' } });

    const run = await push({ force: true }, freshAdmin(), { clock: { ...clock, nowMs: () => performance.now() } });

    expect(run.code).toBe(0);
    expect(clock.slept).toContain(60_000);
    expect(run.stderr).toContain('Coder takes 12 uploads a minute; waiting 60 s.');
  });
});

describe('K-20 outrigger template list, get and create', () => {
  it('list, get, create and push act on the same objects of Coder', async () => {
    const kept = template();
    if (kept) test.coder.world.templates.delete(kept.id);
    const create = (): Promise<Ran> => ran(as(admin), (around) => runCreate(rendering, 'docker', flagsOf({}), around));
    freshAdmin();
    test.coder.addWorkspace({ owner: 'ada', name: 'other', running: false, template: 'not-ours' });

    const created = await create();
    const again = await create();
    const list = await ran(as(admin), (around) => runList(reading, around));
    const text = await ran(as(admin), (around) => runList({ output: 'text' }, around));
    const get = await ran(as(admin), (around) => runGet('docker', reading, around));
    const same = await push();

    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('is in Coder already') });
    const version = pushed(created).version;
    const listed = JSON.parse(list.stdout) as readonly { name: string }[];
    expect(listed.filter(({ name }) => name !== 'kubernetes')).toEqual([
      { name: 'docker', version, organization: 'coder', ours: true },
      { name: 'not-ours', version: 'v1', organization: 'coder', ours: false },
    ]);
    expect(text.stdout).toMatch(new RegExp(`docker +│ ${version} +│ coder +│ yes`));
    expect(JSON.parse(get.stdout)).toMatchObject({
      name: 'docker',
      display_name: 'Docker with an agent beside you',
      version,
      ours: true,
      variables: { ...images, outrigger_secret: '*redacted*' },
    });
    expect(pushed(same)).toMatchObject({ changed: false, version });
  });

  it('get exits 1 for a template that is not there, and both exit 2 when Coder cannot be reached', async () => {
    const missing = await ran(as(freshAdmin()), (around) => runGet('nope', reading, around));
    const away = await ran({ ...as(admin), coderUrl: 'http://127.0.0.1:9' }, (around) => runList(reading, around));

    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('There is no template nope in coder') });
    expect(away).toMatchObject({ code: 2, stderr: expect.stringContaining('could not be reached') });
  });
});

describe('outrigger template diff', () => {
  const diff = (): Promise<Ran> =>
    ran(as(admin), (around) => runDiff(rendering, ['docker'], { output: 'text' }, around));

  it('exits 0 and says same after a push, and 1 with the changed lines before one', async () => {
    await push({ force: true }, freshAdmin());
    const same = await diff();
    const rendered = rendering;
    rendering = {
      ...rendered,
      render: (entry) => new Map([...rendered.render(entry)].map(([path, text]) => [path, `${text}# new\n`])),
    };
    const changed = await diff();
    rendering = rendered;

    expect(same).toMatchObject({ code: 0, stdout: 'same      docker' });
    expect(changed.code).toBe(1);
    expect(changed.stdout).toMatch(/^--- coder\/main\.tf$[\s\S]*^\+# new$/m);
  });

  it('exits 1 for who may not read the files', async () => {
    await push({}, freshAdmin());

    const run = await ran(as(test.people.ada), (around) => runDiff(rendering, ['docker'], { output: 'text' }, around));

    expect(run).toMatchObject({ code: 1, stderr: expect.stringContaining('takes a template admin') });
  });
});
