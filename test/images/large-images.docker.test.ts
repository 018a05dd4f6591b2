import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  buildBrowser,
  extensionAnswer,
  extensionPath,
  gate,
  makeExtension,
  residentMb,
  startIde,
  whenListening,
} from './large/ide.ts';
import {
  base,
  build,
  bytesOf,
  call,
  containerOf,
  docker,
  inside,
  minutes,
  nameOf,
  pinned,
  root,
  silentTools,
} from './large/images.ts';

/** Takes an hour on a small machine, so nothing but scripts/test-images.sh asks for it. */
const withImages = process.env['OUTRIGGER_TEST_IMAGES'] === '1' ? describe : describe.skip;

/** The amounts that README.md has in a row of its tables, in MB. */
function amountsOf(row: string): readonly number[] {
  const readme = readFileSync(join(root, 'modules/executors/README.md'), 'utf8').split('\n');
  const line = readme.find((one) => one.startsWith(`| ${row} `)) ?? '';
  return [...line.matchAll(/\| +([\d.]+) (MB|GB)(?= +\|)/g)].map(
    ([, size, unit]) => Number(size) * (unit === 'GB' ? 1000 : 1),
  );
}
const publishedMb = (row: string): number => amountsOf(row)[0] ?? Number.NaN;
const budgetMb = (row: string): number => amountsOf(row)[1] ?? Number.NaN;

/** Takes a network in which the extension gallery is reached. */
const withGallery = process.env['OUTRIGGER_TEST_GALLERY'] === '1' ? it : it.skip;

withImages('the large images, built and run', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-large-'));
    build('opencode', { BASE_IMAGE: base });
    build('devbox', { BASE_IMAGE: base });
    build('my-executor', { BASE_IMAGE: nameOf('devbox') });
    build('code-server', { BASE_IMAGE: base, VSIX: makeExtension(folder, 'tiny') });
    buildBrowser();
    build('service', { BASE_IMAGE: base });
  }, 120 * minutes);
  afterAll(() => {
    for (const agent of ['my-executor', 'code-server', 'devbox', 'base', 'opencode', 'browser', 'service'])
      docker('image', 'rm', '--force', nameOf(agent));
    rmSync(folder, { recursive: true, force: true });
  }, minutes);

  it(
    'O-21 devbox has git, gh, make, C and C++ compilers, jq, yq, vim, nano, tree and htop, and each says its version',
    () => {
      const tools = ['git', 'gh', 'make', 'gcc', 'g++', 'jq', 'yq', 'vim', 'nano', 'tree', 'htop'];

      expect(silentTools('devbox', tools)).toEqual([]);
    },
    minutes,
  );

  it(
    'P-101 the code-server image has code-server, git, gh, ripgrep, Node 22 or newer and bun, and each says its version',
    () => {
      expect(silentTools('code-server', ['code-server', 'git', 'gh', 'rg', 'node', 'bun'])).toEqual([]);
      expect(silentTools('code-server', ['no-such-tool'])).toEqual(['no-such-tool']);
      expect(Number(/^v(\d+)\./.exec(inside('code-server', 'node --version').stdout)?.[1])).toBeGreaterThanOrEqual(22);
    },
    minutes,
  );

  it(
    'O-13 devbox has Node 22 or newer, and its npm',
    () => {
      const [node = '', npm = ''] = inside('devbox', 'node --version; npm --version').stdout.split('\n');

      expect(Number(/^v(\d+)\./.exec(node)?.[1])).toBeGreaterThanOrEqual(22);
      expect(npm).toMatch(/^\d+\.\d+\.\d+$/);
    },
    minutes,
  );

  it(
    'O-14 python3 -m venv works as 1000 and as a user that no image knows, with pip',
    () => {
      const line = 'HOME=/tmp python3 -m venv /tmp/venv && /tmp/venv/bin/pip --version';

      for (const user of ['1000:0', '100012345:0'])
        expect(inside('devbox', line, user)).toMatchObject({ status: 0, stdout: expect.stringContaining('/tmp/venv') });
    },
    minutes,
  );

  it.each([
    ['O-15', 'golangci-lint --version', 'github.com/golangci/golangci-lint/v2'],
    ['O-17', 'helm version --short', 'helm.sh/helm/v3'],
    ['yq:', 'yq --version', 'github.com/mikefarah/yq/v4'],
  ])(
    '%s %s says the version that go.mod pins',
    (_row, line, module) => {
      expect(inside('devbox', line)).toMatchObject({ status: 0, stdout: expect.stringContaining(pinned(module)) });
    },
    minutes,
  );

  it(
    'O-16 kubectl says the version that go.mod pins',
    () => {
      const version = pinned('k8s.io/kubectl').replace(/^0/, 'v1');

      expect(inside('devbox', 'kubectl version --client').stdout).toContain(version);
    },
    minutes,
  );

  it(
    'Go, gcc and Rust compile as a user that no image knows',
    () => {
      const line = `cd /tmp && export HOME=/tmp GOPATH=/tmp/.go GOCACHE=/tmp/.cache
      printf 'package main\\nfunc main() { println("go") }\\n' > a.go && go run a.go &&
      echo 'int main(void) { return 0; }' > a.c && gcc a.c -o c && ./c &&
      echo 'fn main() {}' > a.rs && rustc a.rs -o r && ./r && go version`;

      expect(inside('devbox', line, '100012345:0')).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/go1\.2[5-9]/),
      });
    },
    3 * minutes,
  );

  it(
    'O-51 an executor that extends devbox builds and passes the doctor, as devbox and code-server do',
    () => {
      for (const agent of ['my-executor', 'devbox', 'code-server']) {
        const doctor = ['scripts/outrigger.mjs', 'executor', 'doctor', nameOf(agent)];
        expect(call(process.execPath, doctor)).toMatchObject({
          status: 0,
          stdout: expect.stringContaining('keeps every rule'),
        });
      }
      expect(inside('my-executor', 'sqlite3 --version && go version').status).toBe(0);
    },
    5 * minutes,
  );

  it(
    'devbox and code-server run the init-then-worker pattern',
    () => {
      for (const agent of ['devbox', 'code-server']) {
        expect(call('./run', ['executor-test'], { AGENT: agent })).toMatchObject({ status: 0 });
      }
    },
    5 * minutes,
  );

  it(
    'O-60 keeps every size: OpenCode 250 MB, devbox 3 GB, with the IDE 4 GB',
    () => {
      expect(bytesOf('opencode')).toBeLessThanOrEqual(250_000_000);
      expect(bytesOf('devbox')).toBeLessThanOrEqual(3_000_000_000);
      expect(bytesOf('code-server')).toBeLessThanOrEqual(4_000_000_000);
    },
    minutes,
  );

  it.each([
    ['I-79', 'code-server'],
    ['and so does', 'devbox'],
    ['and so does', 'base'],
  ])(
    '%s %s has the size that the README says, within a fifth, and keeps the budget beside it',
    (_row, agent) => {
      if (agent === 'base') build(agent, { BASE_IMAGE: base });
      const published = publishedMb(`\`${agent}\``);

      expect(bytesOf(agent) / 1e6).toBeGreaterThan(published * 0.8);
      expect(bytesOf(agent) / 1e6).toBeLessThan(published * 1.2);
      expect(bytesOf(agent) / 1e6).toBeLessThanOrEqual(budgetMb(`\`${agent}\``));
    },
    5 * minutes,
  );

  it(
    'I-51 I-71 the IDE starts without any network, and a browser that opens it makes its extension active',
    () => {
      const ide = startIde();
      try {
        expect(whenListening(ide.container, `${gate}/healthz`)).toMatchObject({
          status: 0,
          stdout: expect.stringMatching(/"status":"(expired|alive)"/),
        });
        ide.openPage();
        expect(whenListening(ide.container, extensionPath).stdout).toBe(extensionAnswer);
      } finally {
        ide.stop();
      }
    },
    8 * minutes,
  );

  it(
    'I-48 the IDE and its gate need the memory that the README says, or at most half as much again',
    () => {
      const ide = startIde();
      try {
        whenListening(ide.container, `${gate}/healthz`);
        const idle = residentMb(ide.container);
        ide.openPage();
        whenListening(ide.container, extensionPath);

        expect(idle).toBeGreaterThan(0);
        const gateMb = publishedMb('its gate, beside any of these');
        expect(idle).toBeLessThan((publishedMb('no page is open') + gateMb) * 1.5);
        expect(residentMb(ide.container)).toBeLessThan((publishedMb('a page is open') + gateMb) * 1.5);
      } finally {
        ide.stop();
      }
    },
    8 * minutes,
  );

  it(
    'a person can add an extension from a file, without any network (part of I-50)',
    () => {
      // Another than the image has: one of the IDE's own cannot be installed over.
      const added = makeExtension(folder, 'added');
      const line =
        'code-server --install-extension /added.vsix --extensions-dir /tmp/e && code-server --list-extensions --extensions-dir /tmp/e';
      const run = [
        'run',
        '--rm',
        '--network',
        'none',
        '-v',
        `${added}:/added.vsix:ro`,
        nameOf('code-server'),
        'sh',
        '-c',
      ];

      expect(docker(...run, line)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^outrigger\.added$/m) });
    },
    2 * minutes,
  );

  withGallery(
    'I-50 the IDE’s own command installs yaml, python, go and openshift from the gallery',
    () => {
      const wanted = ['redhat.vscode-yaml', 'ms-python.python', 'golang.go', 'redhat.vscode-openshift-connector'];
      const folders = '--extensions-dir /tmp/e --user-data-dir /tmp/u';
      const line = `for one in ${wanted.join(' ')}; do code-server ${folders} --install-extension $one || exit 1; done
      code-server ${folders} --list-extensions
      ! code-server ${folders} --install-extension redhat.openshift-toolkit`;
      const { status, stdout } = docker('run', '--rm', nameOf('code-server'), 'sh', '-c', line);

      expect(status).toBe(0);
      expect(stdout.split('\n')).toEqual(expect.arrayContaining(wanted));
    },
    10 * minutes,
  );

  it(
    'the service answers /readyz with a read-only root, its own Postgres and no capability',
    () => {
      const container = containerOf('service');
      const started = docker(
        ...[
          'run',
          '--detach',
          '--name',
          container,
          '--read-only',
          '--cap-drop',
          'ALL',
          '--security-opt',
          'no-new-privileges',
        ],
        ...['--tmpfs', '/tmp', '--tmpfs', '/var/lib/outrigger:uid=1000,gid=0,mode=0700', '--network', 'none'],
        ...[
          '-e',
          'CODER_URL=http://127.0.0.1:9',
          '-e',
          'OUTRIGGER_CODER_TOKEN=none',
          '-e',
          'MODEL_UPSTREAM_URL=http://127.0.0.1:9',
          '-e',
          'OUTRIGGER_MODEL=none/none',
        ],
        nameOf('service'),
      );
      try {
        expect(started.status).toBe(0);
        const ask = `const end = Date.now() + 60000; for (;;) { try { const a = await fetch('http://127.0.0.1:7676/readyz'); if (a.ok) break; } catch {}
        if (Date.now() > end) process.exit(1); await new Promise((go) => setTimeout(go, 200)); } console.log('ready');`;
        const answer = docker('exec', container, 'node', '--input-type=module', '-e', ask);
        expect({ ...answer, log: docker('logs', container).stderr }).toMatchObject({ status: 0, stdout: 'ready\n' });
      } finally {
        docker('rm', '--force', '--volumes', container);
      }
    },
    3 * minutes,
  );
});
