import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { nixEnvironmentFile } from '../../../modules/contract.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const room = (name: string): string => fileURLToPath(new URL(`../../../modules/opencode/${name}`, import.meta.url));
const files = {
  attach: '555',
  'bridge.js': '444',
  'egress.js': '444',
  enter: '555',
  'helper.js': '444',
  opencode: '111',
  'opencode.json': '444',
  rg: '555',
  'runtime-proof': '555',
  'tui.json': '444',
};
const certificate = '-----BEGIN CERTIFICATE-----\nbWluZQ==\n-----END CERTIFICATE-----\n';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-init-'));
  for (const folder of ['image', 'tools', 'ca', 'workspace']) mkdirSync(join(root, folder));
  copyFileSync(room('init.sh'), join(root, 'image/init.sh'));
  for (const name of [...Object.keys(files), 'version']) writeFileSync(join(root, 'image', name), `${name} 1\n`);
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const init = async (certificates = ''): Promise<Finished> =>
  await run('sh', [join(root, 'image/init.sh')], {
    environment: {
      TOOLS_DIR: join(root, 'tools'),
      CUSTOM_CA_DIR: join(root, 'ca'),
      WORKSPACE_DIR: join(root, 'workspace'),
      OUTRIGGER_NIX_DIR: join(root, 'nix'),
      WORKER_HOME: join(root, 'home'),
      OUTRIGGER_CUSTOM_CA_BASE64: certificates,
    },
  });
const modeOf = (path: string): string => (statSync(join(root, path)).mode & 0o777).toString(8);

describe('modules/opencode/init.sh', () => {
  it('fills /tools with every tool, none of which anybody can write', async () => {
    expect(await init()).toMatchObject({ code: 0, stderr: '' });

    expect(readdirSync(join(root, 'tools')).sort()).toEqual(['.version', ...Object.keys(files)]);
    for (const [name, mode] of Object.entries(files)) expect([name, modeOf(`tools/${name}`)]).toEqual([name, mode]);
  });

  it.each(Object.keys(files))('fails where the image lacks %s, and does not call /tools filled', async (name) => {
    rmSync(join(root, 'image', name));

    expect((await init()).code).not.toBe(0);
    expect(existsSync(join(root, 'tools/.version'))).toBe(false);
  });

  it('does nothing when the tools are those of its image', async () => {
    await init();
    const before = statSync(join(root, 'tools/rg')).ino;

    expect((await init()).stdout).toContain('is up to date');
    expect(statSync(join(root, 'tools/rg')).ino).toBe(before);
  });

  it('replaces the tools of an older image, and what a start that was cut short left', async () => {
    await init();
    writeFileSync(join(root, 'tools/.new'), 'half');
    writeFileSync(join(root, 'image/version'), 'version 2\n');
    writeFileSync(join(root, 'image/bridge.js'), 'bridge 2\n');

    await init();

    expect(readFileSync(join(root, 'tools/bridge.js'), 'utf8')).toBe('bridge 2\n');
    expect(readdirSync(join(root, 'tools'))).not.toContain('.new');
  });

  it('gives the workspace its usual folders and leaves what lies in their way (part of C-03)', async () => {
    const workspace = join(root, 'workspace');
    symlinkSync(join(root, 'nowhere'), join(workspace, 'artifacts'));
    writeFileSync(join(workspace, 'workflows'), 'mine');

    expect((await init()).code).toBe(0);

    expect(readdirSync(workspace).sort()).toEqual(['artifacts', 'file-uploads', 'repos', 'workflows']);
    expect(readFileSync(join(workspace, 'workflows'), 'utf8')).toBe('mine');
    expect(existsSync(join(root, 'nowhere'))).toBe(false);
  });

  it('forgets what the last start computed of a workspace.nix, and keeps the packages', async () => {
    const told = join(root, 'nix', nixEnvironmentFile);
    mkdirSync(dirname(told), { recursive: true });
    mkdirSync(join(root, 'nix/store'));
    writeFileSync(told, '{}');

    expect(await init()).toMatchObject({ code: 0, stderr: '' });

    expect(existsSync(told)).toBe(false);
    expect(existsSync(join(root, 'nix/store'))).toBe(true);
  });

  it('forgets what `enter` would take of the last start, and follows nothing that lies there instead', async () => {
    const state = join(root, 'home/.local/state/outrigger');
    const theirs = join(root, 'theirs');
    mkdirSync(state, { recursive: true });
    for (const path of [join(state, 'nix-env'), join(state, 'workspace.nix'), theirs]) writeFileSync(path, 'x');

    expect(await init()).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(state)).toEqual(['workspace.nix']);

    symlinkSync(theirs, join(state, 'nix-env'));
    expect(await init()).toMatchObject({ code: 0, stderr: '' });
    expect([readdirSync(state), readFileSync(theirs, 'utf8')]).toEqual([['workspace.nix'], 'x']);

    mkdirSync(join(state, 'nix-env'));
    expect((await init()).code).toBe(0);
  });

  describe("and the admin's certificates", () => {
    const tls = (): string | null =>
      existsSync(join(root, 'ca/tls.crt')) ? readFileSync(join(root, 'ca/tls.crt'), 'utf8') : null;

    it('are written at every start, also when the tools are up to date, and go when there are none', async () => {
      await init();
      expect(tls()).toBeNull();

      expect((await init(base64(certificate))).stdout).toContain('is up to date');
      expect(tls()).toBe(certificate);
      expect(modeOf('ca/tls.crt')).toBe('444');

      await init(base64(`${certificate}${certificate}`));
      expect(tls()).toBe(`${certificate}${certificate}`);

      await init();
      expect(readdirSync(join(root, 'ca'))).toEqual([]);
    });

    it.each([
      ['something that is not base64', '%%%', 'not base64'],
      ['text that is no certificate', base64('hello'), 'no certificate in PEM form'],
      [
        'a private key, which everybody in the workspace would read',
        base64(`${certificate}-----BEGIN EC PRIVATE KEY-----\ncanary\n`),
        'holds a private key',
      ],
    ])('are refused when they are %s', async (_what, given, message) => {
      const finished = await init(given);

      expect(finished.code).toBe(1);
      expect(finished.stderr).toContain(message);
      expect(`${finished.stdout}${finished.stderr}`).not.toContain('canary');
      expect(readdirSync(join(root, 'ca'))).not.toContain('tls.crt');
    });

    it('go nowhere where no folder was mounted for them', async () => {
      rmSync(join(root, 'ca'), { recursive: true });

      expect((await init(base64(certificate))).code).toBe(0);
      expect(existsSync(join(root, 'ca'))).toBe(false);
    });
  });
});

describe('the defaults of OpenCode in /tools', () => {
  const binary = fileURLToPath(new URL('../../../node_modules/opencode-linux-x64/bin/opencode', import.meta.url));
  const withBinary = existsSync(binary) ? it : it.skip;

  withBinary('are taken by OpenCode, share nothing and update nothing', async () => {
    const finished = await run(binary, ['debug', 'config'], {
      cwd: root,
      environment: {
        HOME: root,
        OPENCODE_CONFIG: room('opencode.json'),
        OPENCODE_TUI_CONFIG: room('tui.json'),
        OPENCODE_DISABLE_MODELS_FETCH: '1',
      },
    });

    expect(finished.code).toBe(0);
    expect(JSON.parse(finished.stdout)).toMatchObject({ share: 'disabled', autoupdate: false, plugin: [] });
    expect(JSON.parse(readFileSync(room('tui.json'), 'utf8'))).toEqual({ $schema: 'https://opencode.ai/tui.json' });
  });
});
