import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Rendering } from '../../scripts/template-push.ts';
import type { UpFlags } from '../../scripts/up/run-up.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import { until } from '../support/bridge/bridge-process.ts';
import type { Role } from '../support/coder/simulated-coder.ts';
import { goodEvidence, startFakeBridge, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { digest, renderedTemplates } from './template-harness.ts';
import { beyondLoopback, ranUp, startBuildingCoder, type BuildingCoder, type RanUp, type Start } from './up-harness.ts';

let test: TestService;
let coder: BuildingCoder;
let folder: string;
let rendering: Rendering;
let lock: string;
const bridges: FakeBridge[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-up-'));
  rendering = renderedTemplates(folder);
  test = await startTestService({ OUTRIGGER_LISTEN: `${beyondLoopback()}:0` });
  coder = await startBuildingCoder(test.coder, bridgeOnly);
  lock = join(folder, 'images.lock.json');
  const images = {
    opencode: `registry.example.com/opencode${digest('a')}`,
    base: `registry.example.com/base${digest('b')}`,
  };
  writeFileSync(lock, JSON.stringify({ version: 1, images }));
});
afterAll(async () => {
  await coder.settled();
  for (const bridge of bridges) bridge.close();
  await coder.close();
  await test.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Instead of containers: registers as the workspace would, and does each task at once. */
async function bridgeOnly({ variables, workspaceId, ownerId, agentId }: Start): Promise<void> {
  // Coder builds first, and the service knows nobody of a workspace that does not run yet; a real bridge tries again.
  await until('the build', () => test.coder.statusOf(workspaceId) === 'running');
  const proof = deriveProof(variables['outrigger_secret'] ?? '', workspaceId, ownerId, agentId);
  const bridge = await startFakeBridge({ url: test.url, proof, workspaceId, agentId });
  bridges.push(bridge);
  void work(bridge).catch(() => undefined);
}

async function work(bridge: FakeBridge): Promise<void> {
  for (;;) {
    const lease = await takeLease(bridge);
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
  }
}

let people = 0;
const somebody = (roles: readonly Role[] = ['template-admin']) => {
  const username = `person-${++people}`;
  return { username, ...test.coder.addUser({ username, roles }) };
};

/** `up` as that person, with the service that runs and images that are nowhere. */
const up = (token: string, flags: Partial<UpFlags> = {}, environment: Record<string, string> = {}): Promise<RanUp> =>
  ranUp(
    { coder: coder.url, url: test.url, imagesLock: lock, ...flags },
    { rendering, environment: { CODER_SESSION_TOKEN: token, OUTRIGGER_DATA_DIR: folder, ...environment } },
  );

const versionsMade = (): number => test.coder.world.versions.size;

describe('outrigger up', () => {
  it('goes from an address and a token to a finished task, and finds everything again the next time', async () => {
    const { token } = somebody();

    const first = await up(token);
    const made = { versions: versionsMade(), starts: coder.starts.length };
    const second = await up(token);

    expect(first).toMatchObject({
      code: 0,
      joined: { template: { changed: true }, service: { started: null } },
    });
    expect(first.joined?.task).toMatchObject({ state: 'finished', outcome: 'succeeded' });
    expect(coder.starts.at(-1)).toMatchObject({
      workspaceName: 'first',
      choices: { git_repository: 'https://git.example.com/team/users' },
      variables: { outrigger_url: test.url, opencode_image: `registry.example.com/opencode${digest('a')}` },
    });
    expect(second).toMatchObject({ code: 0, joined: { template: { changed: false } } });
    expect(second.joined?.workspace).toEqual(first.joined?.workspace);
    expect(second.joined?.task.id).not.toBe(first.joined?.task.id);
    expect({ versions: versionsMade(), starts: coder.starts.length }).toEqual(made);
    const steps = [...first.said.matchAll(/^✔ (\w+):/gm)].map(([, name]) => name);
    expect(steps).toEqual(['Coder', 'Address', 'Service', 'Images', 'Template', 'Workspace', 'Agent', 'Task']);
  });

  it('says neither the token nor the secret that it has pushed', async () => {
    const { token } = somebody();

    const { said, code } = await up(token, { token, workspace: 'quiet' });

    const secret = coder.starts.at(-1)?.variables['outrigger_secret'] ?? '';
    expect(code).toBe(0);
    expect(secret).toMatch(/^ors_/);
    expect(said).not.toContain(token);
    expect(said).not.toContain(secret);
    expect(said).toContain('others on this machine can read a command line');
  });

  it('starts a workspace that stands still and leaves one of another template alone', async () => {
    const { token, username } = somebody();
    const still = await up(token, { workspace: 'still' });
    const id = still.joined?.workspace.id ?? '';
    test.coder.buildWorkspace(id, 'stop');
    test.coder.addWorkspace({ owner: username, name: 'other', running: true, template: 'not-ours' });

    const again = await up(token, { workspace: 'still' });
    const refused = await up(token, { workspace: 'other' });

    expect(again.joined?.workspace.id).toBe(id);
    expect(test.coder.statusOf(id)).toBe('running');
    expect(refused).toMatchObject({ code: 2, said: expect.stringContaining('Name another with --workspace') });
  });
});

describe('what stops outrigger up names what mends it', () => {
  it('a person who may not publish templates', async () => {
    const before = versionsMade();
    const { token, username } = somebody([]);

    const { code, said } = await up(token);

    expect(code).toBe(2);
    expect(said).toContain(`coder organizations members edit-roles ${username} organization-template-admin -O coder`);
    expect(versionsMade()).toBe(before);
  });

  it('a token made with scopes', async () => {
    const { username } = somebody();
    const scoped = (scopes: string[]) => test.coder.addToken({ owner: username, name: scopes.join('-'), scopes });

    expect((await up(scoped(['workspace:read']))).said).toContain('it was made with scopes');
    expect((await up(scoped(['user:read', 'organization:read']))).said).toMatch(/may not publish|Which organization/);
  });

  it('a token that Coder does not know, and no token', async () => {
    const wrong = await up('wrongwrong-wrongwrongwrongwrongwr');

    expect(wrong).toMatchObject({ code: 2, said: expect.stringContaining(`coder login ${coder.url}`) });
    expect(wrong.said).not.toContain('wrongwrong');
    expect(await up('')).toMatchObject({ code: 2, said: expect.stringContaining('--token-file') });
  });

  it('a token file, read; one that is not there, named', async () => {
    const { token } = somebody([]);
    const file = join(folder, 'token');
    writeFileSync(file, `${token}\n`);

    expect((await up('', { tokenFile: file })).said).toContain('may not publish templates');
    expect(await up('', { tokenFile: `${file}-none` })).toMatchObject({
      code: 2,
      said: expect.stringContaining('ENOENT'),
    });
    expect(await up('', { tokenFile: file, token })).toMatchObject({
      code: 2,
      said: expect.stringContaining('not both'),
    });
  });

  it('a Coder that is too old, away, or not named', async () => {
    const { token } = somebody();
    const old = await startBuildingCoder(test.coder, bridgeOnly, 'v2.19.3+abc');
    const tooOld = await up(token, { coder: old.url });
    await old.close();

    expect(tooOld).toMatchObject({ code: 2, said: expect.stringContaining('Upgrade Coder') });
    expect(await up(token, { coder: old.url })).toMatchObject({ code: 2, said: expect.stringContaining(old.url) });
    const nobody = await ranUp({}, { rendering, environment: { CODER_SESSION_TOKEN: token } });
    expect(nobody).toMatchObject({ code: 2, said: expect.stringContaining('--coder') });
  });

  it('an address that something else answers, and one that nothing answers', async () => {
    const { token } = somebody();
    const other = await up(token, { url: 'http://this-host-is-not.invalid:1' });

    expect(other.said).toContain('ALLOW_INSECURE_HTTP');
    const away = await up(token, { url: 'https://this-host-is-not.invalid' });
    expect(away).toMatchObject({ code: 2, said: expect.stringContaining('Start the service there') });
    const foreign = await up(
      token,
      { url: coder.url.replace('127.0.0.1', '0.0.0.0') },
      { ALLOW_INSECURE_HTTP: 'true' },
    );
    expect(foreign).toMatchObject({ code: 2, said: expect.stringContaining('is not Outrigger') });
  });

  it('a service to be started without a model, or with a token that reads no workspaces', async () => {
    const { token } = somebody();
    const reader = somebody([]);
    const url = `http://${beyondLoopback()}:9`;

    expect(await up(token, { url })).toMatchObject({ code: 2, said: expect.stringContaining('OPENROUTER_API_KEY') });
    const blind = await up(token, { url }, { OPENROUTER_API_KEY: 'key', OUTRIGGER_CODER_TOKEN: reader.token });
    expect(blind).toMatchObject({ code: 2, said: expect.stringContaining(`edit-roles ${reader.username}`) });
  });
});
