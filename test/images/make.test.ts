import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { shellLine } from '../../modules/workspace/shell-line.ts';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { buildCommand, buildxCommands } from '../../scripts/images/commands.ts';
import { checkBase, checkOpencode, pinnedOpencode, prepareContext } from '../../scripts/images/prepare.ts';
import { readSettings, type ImageSettings } from '../../scripts/images/settings.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const base = `debian:bookworm-slim@sha256:${'a'.repeat(64)}`;
const hasMake = spawnSync('make', ['--version'], { stdio: 'ignore' }).status === 0;

/** Runs a line such as `make AGENT=devbox build` as a dry run; without make, through ./run, which it only opens. */
function dryRun(line: string, more: Record<string, string> = {}) {
  const words = line.split(' ').slice(1);
  const environment = { PATH: process.env['PATH'], DRY_RUN: '1', BASE_IMAGE: base, ...more };
  const isSetting = (word: string): boolean => word.includes('=');
  const { status, stdout, stderr } = hasMake
    ? spawnSync('make', words, { cwd: root, env: environment, encoding: 'utf8' })
    : spawnSync(
        './run',
        words.filter((word) => !isSetting(word)),
        {
          cwd: root,
          env: { ...environment, ...Object.fromEntries(words.filter(isSetting).map((word) => word.split('='))) },
          encoding: 'utf8',
        },
      );
  return { status, lines: stdout.trim().split('\n'), stderr };
}

const name = (agent: string): string => `localhost/outrigger/outrigger-agent-${agent}:0.1.0`;
const label = '--label org.opencontainers.image.version=0.1.0';
const executors = '--file modules/executors/Dockerfile --target';
const opencode = '--file modules/opencode/Dockerfile';
const example = '--file docs/examples/executors/my-executor/Dockerfile';
const both = '--platform linux/amd64,linux/arm64';
const onBase = `--build-arg BASE_IMAGE=${base}`;

/** Every line of the fixture, and the command it must become. */
const commands: Readonly<Record<string, string>> = {
  'make AGENT=opencode build': `docker build ${opencode} ${onBase} ${label} --tag ${name('opencode')} .`,
  'make AGENT=devbox build': `docker build ${executors} devbox ${onBase} ${label} --tag ${name('devbox')} .`,
  'make AGENT=code-server build': `docker build ${executors} code-server ${onBase} ${label} --tag ${name('code-server')} .`,
  'make AGENT=opencode buildx': `docker buildx build ${opencode} ${onBase} ${label} ${both} --tag ${name('opencode')} --push .`,
  'make AGENT=devbox buildx': `docker buildx build ${executors} devbox ${onBase} ${label} ${both} --tag ${name('devbox')} --push .`,
  'make agent-build AGENT=opencode': `docker build ${opencode} ${onBase} ${label} --tag ${name('opencode')} .`,
  'make agent-build AGENT=devbox': `docker build ${executors} devbox ${onBase} ${label} --tag ${name('devbox')} .`,
  'make AGENT=my-executor build': `docker build ${example} ${onBase} ${label} --tag ${name('my-executor')} .`,
};
const fixture = readFileSync(join(root, 'test/fixtures/executor/make-commands.txt'), 'utf8').trim().split('\n');

/** Rows whose literal target a line is. */
const rows: Readonly<Record<string, string>> = {
  'make agent-build AGENT=devbox': 'O-32',
  'make AGENT=opencode build': 'O-28',
  'make AGENT=devbox build': 'O-29',
  'make AGENT=code-server build': 'O-30',
};

describe('the make targets of images', () => {
  it.each(fixture.map((line) => [rows[line] === undefined ? line : `${rows[line]} ${line}`, line]))(
    '%s builds what it says',
    (_title, line) => {
      expect(dryRun(line)).toEqual({ status: 0, lines: [commands[line]], stderr: '' });
    },
  );

  it.each([
    ['O-28', 'opencode'],
    ['O-29', 'devbox'],
    ['O-30', 'code-server'],
  ])('O-32 %s make agent-build AGENT=%s is the same as make AGENT=… build', (_row, agent) => {
    const built = dryRun(`make AGENT=${agent} build`);

    expect(built).toEqual({ status: 0, lines: [commands[`make AGENT=${agent} build`]], stderr: '' });
    expect(dryRun(`make agent-build AGENT=${agent}`)).toEqual(built);
  });

  it('C-34 build, buildx and agent-build take IMG_REGISTRY, IMG_ORG, VERSION and OPENCODE_VERSION', () => {
    const settings = {
      IMG_REGISTRY: 'ghcr.io',
      IMG_ORG: 'team',
      VERSION: 'v1.2.3',
      OPENCODE_VERSION: pinnedOpencode(root),
    };
    const wanted = (target: string): string =>
      (commands[target] ?? '')
        .replace('localhost/outrigger/outrigger-agent-opencode:0.1.0', 'ghcr.io/team/outrigger-agent-opencode:v1.2.3')
        .replace('version=0.1.0', 'version=v1.2.3');

    for (const target of [
      'make AGENT=opencode build',
      'make AGENT=opencode buildx',
      'make agent-build AGENT=opencode',
    ]) {
      expect(dryRun(target, settings)).toEqual({ status: 0, lines: [wanted(target)], stderr: '' });
    }
    expect(refusal(() => checkOpencode(root, settingsOf({ OPENCODE_VERSION: '0.0.1' }), []))).toContain('0.0.1');
  });

  it('a wrong setting ends with 2 and says why', () => {
    expect(dryRun('make AGENT=nope build')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('There is no image called nope'),
    });
  });

  it('executor-test mounts /tools and the task and sets PATH', () => {
    const { lines } = dryRun('make executor-test AGENT=my-executor');

    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain(`:/tools -v /tmp/executor-test/opencode:/echo:ro ${name('opencode')} `);
    for (const line of lines.slice(1)) {
      expect(line).toMatch(/ -v \S+:\/tools:ro -v \S+\/task\.md:\/workspace\/task\.md:ro -e PATH=\/tools:\S+ /);
      expect(line).toContain(` ${name('my-executor')} sh -c `);
    }
  });
});

/** A registry that a builder for both architectures can push to; BASE_IMAGE names the base that they start from. */
const registry = process.env['OUTRIGGER_TEST_BUILDX_REGISTRY'];
const withBuilder = registry === undefined ? it.skip : it;

withBuilder.each(['opencode', 'devbox'])(
  'O-27 O-31 make AGENT=%s buildx pushes one manifest of amd64 and arm64',
  (agent) => {
    const image = { IMG_REGISTRY: registry ?? '', IMG_ORG: 'outrigger-test', VERSION: 'v0.0.1' };
    const built = spawnSync('./run', ['buildx'], {
      cwd: root,
      env: { ...process.env, ...image, AGENT: agent },
      encoding: 'utf8',
    });
    expect({ status: built.status, stderr: built.stderr.slice(-2_000) }).toMatchObject({ status: 0 });

    const name = `${image.IMG_REGISTRY}/${image.IMG_ORG}/outrigger-agent-${agent}:${image.VERSION}`;
    const inspected = spawnSync('docker', ['buildx', 'imagetools', 'inspect', '--raw', name], { encoding: 'utf8' });
    const { manifests } = JSON.parse(inspected.stdout) as { manifests: { platform: { architecture: string } }[] };
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual(expect.arrayContaining(['amd64', 'arm64']));
  },
  3_600_000,
);

const settingsOf = (environment: Record<string, string>): ImageSettings =>
  readSettings({ AGENT: 'opencode', ...environment }, '0.1.0', (folder) => folder === 'my-executor');
const build = (environment: Record<string, string>): string =>
  shellLine(buildCommand(settingsOf({ BASE_IMAGE: base, ...environment })));
const buildx = (environment: Record<string, string>): string[] =>
  buildxCommands(settingsOf({ BASE_IMAGE: base, ...environment })).map(shellLine);

describe('the settings of images', () => {
  it('O-33 name every image <registry>/<org>/outrigger-agent-<name>:<version>, which templates take by digest only', () => {
    const agents = ['opencode', 'base', 'devbox', 'code-server', 'my-executor'];
    const templates = readdirSync(join(root, 'templates'))
      .map((folder) => join(root, 'templates', folder, 'main.tf'))
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, 'utf8'));

    for (const agent of agents) {
      const command = build({ AGENT: agent, IMG_REGISTRY: 'ghcr.io', IMG_ORG: 'team', VERSION: 'v2' });
      expect(command).toContain(`--tag ghcr.io/team/outrigger-agent-${agent}:v2 .`);
    }
    for (const template of templates) {
      expect(template).toMatch(/can\(regex\(".*@sha256:.*", var\.opencode_image\)\)/);
      expect(template).not.toMatch(/:latest"/);
    }
    expect(templates.length).toBeGreaterThan(0);
  });

  it('O-34 IMG_REGISTRY, IMG_ORG and VERSION name the image', () => {
    expect(build({ AGENT: 'devbox', IMG_REGISTRY: 'ghcr.io', IMG_ORG: 'myorg', VERSION: 'v1.0.0' })).toContain(
      '--tag ghcr.io/myorg/outrigger-agent-devbox:v1.0.0 .',
    );
  });

  it('O-26 CONTAINER_ENGINE=podman builds with podman, and pushes one manifest of both architectures', () => {
    const podman = { AGENT: 'base', CONTAINER_ENGINE: 'podman' };

    expect(build(podman)).toMatch(/^podman build /);
    expect(buildx(podman)).toEqual([
      `podman build ${executors} base ${onBase} ${label} ${both} --manifest ${name('base')} .`,
      `podman manifest push --all ${name('base')} docker://${name('base')}`,
    ]);
  });

  it('pass GO_VERSION on to the images that have Go', () => {
    expect(build({ AGENT: 'devbox', GO_VERSION: '1.26.10' })).toContain('--build-arg GO_VERSION=1.26.10');
    expect(build({ AGENT: 'base', GO_VERSION: '1.26.10' })).not.toContain('GO_VERSION');
  });

  it('make an example extend the base executor where no other is named', () => {
    expect(shellLine(buildCommand(settingsOf({ AGENT: 'my-executor' })))).toContain(`BASE_IMAGE=${name('base')} `);
  });

  it.each<[Record<string, string>, string]>([
    [{ AGENT: '' }, 'AGENT says which image'],
    [{ AGENT: '../../etc' }, 'There is no image called ../../etc'],
    [{ AGENT: 'constructor' }, 'There is no image called constructor'],
    [{ VERSION: 'latest' }, 'VERSION=latest'],
    [{ VERSION: 'a/b' }, 'VERSION cannot be part'],
    [{ IMG_ORG: '--privileged' }, 'IMG_ORG cannot be part'],
    [{ CONTAINER_ENGINE: 'nerdctl' }, 'docker or podman'],
  ])('are refused where they are wrong: %j', (environment, sentence) => {
    expect(refusal(() => settingsOf(environment))).toContain(sentence);
  });
});

function refusal(work: () => void): string {
  try {
    work();
  } catch (error) {
    return error instanceof CommandFailure && error.exitCode === 2 ? error.message : String(error);
  }
  return 'nothing was refused';
}

describe('before a build', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-images-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['', 'BASE_IMAGE says which image'],
    ['debian:bookworm-slim', 'has no digest'],
    ['debian', 'has no digest'],
  ])('a base image %j is refused', (baseImage, sentence) => {
    expect(refusal(() => checkBase(settingsOf({ BASE_IMAGE: baseImage })))).toContain(sentence);
  });

  it('a base image without digest is taken when it is said to be local, and never as latest', () => {
    const local = { ALLOW_LOCAL_BASE: '1' };

    expect(() => checkBase(settingsOf({ BASE_IMAGE: base }))).not.toThrow();
    expect(() => checkBase(settingsOf({ BASE_IMAGE: 'mine:bookworm', ...local }))).not.toThrow();
    expect(refusal(() => checkBase(settingsOf({ BASE_IMAGE: 'mine:latest', ...local })))).toContain('has no digest');
    expect(refusal(() => checkBase(settingsOf({ BASE_IMAGE: 'mine', ...local })))).toContain('has no digest');
  });

  it('an architecture without OpenCode fails by its name (part of O-27)', () => {
    const platforms = ['linux/amd64', 'linux/arm64'];
    writeFileSync(join(folder, 'package.json'), '{"optionalDependencies": {"opencode-linux-x64": "1.2.3"}}');
    install('x64', '1.2.3');

    expect(() => checkOpencode(folder, settingsOf({}), ['linux/amd64'])).not.toThrow();
    expect(refusal(() => checkOpencode(folder, settingsOf({}), platforms))).toMatch(
      /no OpenCode 1\.2\.3 for linux\/arm64:/,
    );
    install('arm64', '1.2.2');
    expect(refusal(() => checkOpencode(folder, settingsOf({}), platforms))).toMatch(
      /no OpenCode 1\.2\.3 for linux\/arm64:/,
    );
    install('arm64', '1.2.3');
    expect(() => checkOpencode(folder, settingsOf({}), platforms)).not.toThrow();
  });

  function install(architecture: string, version: string): void {
    const there = join(folder, 'node_modules', `opencode-linux-${architecture}`);
    mkdirSync(join(there, 'bin'), { recursive: true });
    writeFileSync(join(there, 'package.json'), JSON.stringify({ version }));
    writeFileSync(join(there, 'bin/opencode'), '');
  }

  it('OPENCODE_VERSION must be the one that the lock file has a checksum of', () => {
    const pinned = pinnedOpencode(root);

    expect(pinned).toMatch(/^\d+\.\d+\.\d+$/);
    expect(refusal(() => checkOpencode(root, settingsOf({ OPENCODE_VERSION: '0.0.1' }), []))).toContain(
      'npm install --save-exact opencode-linux-x64@0.0.1',
    );
    expect(() => checkOpencode(root, settingsOf({ OPENCODE_VERSION: pinned }), [])).not.toThrow();
  });

  it('the extensions and certificates that were named lie where the Dockerfile copies from, and no others', () => {
    const [certificate, extension] = [join(folder, 'ca.pem'), join(folder, 'one.vsix')];
    writeFileSync(certificate, 'certificate');
    writeFileSync(extension, 'extension');
    mkdirSync(join(folder, 'dist/vsix'), { recursive: true });
    writeFileSync(join(folder, 'dist/vsix/old.vsix'), 'left by an earlier build');

    prepareContext(folder, settingsOf({ VSIX: extension, BUILD_CA: certificate }));

    expect(readFileSync(join(folder, 'dist/build-ca/ca.crt'), 'utf8')).toBe('certificate');
    expect(readFileSync(join(folder, 'dist/vsix/one.vsix'), 'utf8')).toBe('extension');
    expect(() => readFileSync(join(folder, 'dist/vsix/old.vsix'))).toThrow('ENOENT');
    prepareContext(folder, settingsOf({}));
    expect(readFileSync(join(folder, 'dist/build-ca/ca.crt'), 'utf8')).toBe('');
    expect(refusal(() => prepareContext(folder, settingsOf({ VSIX: '/nope.vsix' })))).toContain(
      'VSIX names /nope.vsix',
    );
  });

  it('a word that a shell would read otherwise is quoted in what is printed', () => {
    expect(shellLine(['docker', 'A=b:1@2', "it's", '$HOME', ''])).toBe("docker A=b:1@2 'it'\\''s' '$HOME' ''");
  });
});
