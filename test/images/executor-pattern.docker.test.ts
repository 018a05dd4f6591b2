import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const wanted = process.env['OUTRIGGER_TEST_DOCKER'] === '1';
/** Runs where somebody asked for it: scripts/test-docker.sh. There a daemon that does not answer is a failure. */
const withDocker = wanted ? describe : describe.skip;
const base = process.env['OUTRIGGER_TEST_BASE_IMAGE'] ?? 'outrigger-base:bookworm';

const version = `test-${process.pid}`;
const organization = 'outrigger-test';
const name = (agent: string): string => `localhost/${organization}/outrigger-agent-${agent}:${version}`;

function call(program: string, words: readonly string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, IMG_ORG: organization, VERSION: version, ...environment },
  });
  return { status, stdout, stderr };
}
const docker = (...words: string[]) => call('docker', words);
const target = (verb: string, agent: string, environment: Record<string, string> = {}) =>
  call('./run', [verb], { AGENT: agent, ...environment });
const doctor = (image: string, ...words: string[]) =>
  call(process.execPath, [join(root, 'scripts/outrigger.mjs'), 'executor', 'doctor', image, ...words]);
const bytesOf = (image: string): number => Number(docker('image', 'inspect', '--format', '{{.Size}}', image).stdout);

withDocker('the images, built and run', () => {
  const minutes = 60_000;
  const local = { BASE_IMAGE: base, ALLOW_LOCAL_BASE: '1' };
  const made = new Set<string>();

  function build(agent: string, environment: Record<string, string> = {}): void {
    const { status, stdout, stderr } = target('build', agent, environment);
    if (status !== 0) throw new Error(`${agent} was not built:\n${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`);
    made.add(name(agent));
  }

  beforeAll(() => {
    build('opencode', local);
    build('base', local);
    build('my-executor');
  }, 8 * minutes);
  afterAll(() => {
    for (const image of made) docker('image', 'rm', '--force', image);
  }, minutes);

  it(
    'O-35 O-38 an executor of one’s own runs the init-then-worker pattern and passes the doctor',
    () => {
      expect(target('executor-test', 'my-executor')).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^ok .*1000:0.*\nok .*100012345:0/),
      });
      expect(doctor(name('my-executor'), '-o', 'json')).toMatchObject({ status: 0, stderr: '' });
      expect(docker('run', '--rm', name('my-executor'), 'sqlite3', '--version')).toMatchObject({ status: 0 });
    },
    2 * minutes,
  );

  it(
    'the worker pattern fails where the worker cannot run it',
    () => {
      docker('tag', name('opencode'), name('devbox'));
      made.add(name('devbox'));

      // The OpenCode image starts its init whatever it is asked to run, and finds /tools read-only.
      expect(target('executor-test', 'devbox').status).toBe(1);
    },
    minutes,
  );

  it(
    'the OpenCode image holds the pinned OpenCode, answers as net, and is 250 MB or less (part of O-60)',
    () => {
      const started = docker('run', '--rm', '--read-only', '--entrypoint', 'sleep', name('opencode'), '0');
      const asked = docker(
        'run',
        '--rm',
        '--entrypoint',
        'sh',
        name('opencode'),
        '-c',
        'cd /opt/outrigger && sha256sum -c version && id -u',
      );

      expect(started.status).toBe(0);
      expect(asked).toMatchObject({ status: 0, stdout: expect.stringMatching(/opencode: OK[\s\S]*\n1000\n$/) });
      expect(bytesOf(name('opencode'))).toBeLessThanOrEqual(250_000_000);
    },
    minutes,
  );

  it(
    'OpenCode of the init image runs in the executor, for the usual user and for one that no image knows',
    () => {
      const volume = `${organization}-${version}`;
      try {
        expect(docker('run', '--rm', '-v', `${volume}:/tools`, name('opencode')).status).toBe(0);
        for (const user of ['1000:0', '100012345:0']) {
          const asked = docker(
            'run',
            '--rm',
            '--user',
            user,
            '-v',
            `${volume}:/tools:ro`,
            name('base'),
            '/tools/opencode',
            '--version',
          );
          expect(asked).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
        }
      } finally {
        docker('volume', 'rm', '--force', volume);
      }
    },
    minutes,
  );

  it(
    'the default executor is 500 MB or less, without an IDE and without OpenCode',
    () => {
      const found = docker(
        'run',
        '--rm',
        name('base'),
        'sh',
        '-c',
        'command -v opencode code-server node; ls -A /tools',
      );

      expect(found.stdout).toBe('');
      expect(bytesOf(name('base'))).toBeLessThanOrEqual(500_000_000);
    },
    minutes,
  );

  it(
    'the doctor refuses a shared folder, files in /tools and a workspace that an unknown user cannot write (part of O-37, O-40 and O-43)',
    () => {
      const container = `${organization}-${version}`;
      const script =
        'echo x > /tools/own; mkdir /everybody; chmod 777 /everybody; chmod 700 /workspace; chown 1000 /workspace';
      try {
        docker('run', '--name', container, '--user', '0', '--entrypoint', 'sh', name('base'), '-c', script);
        docker(
          'commit',
          '--change',
          'USER 1000:0',
          '--change',
          'CMD ["bash"]',
          '--change',
          'ENTRYPOINT []',
          container,
          name('broken'),
        );
        made.add(name('broken'));
        const { status, stdout } = doctor(name('broken'));

        expect(status).toBe(1);
        expect(stdout).toContain('holds /tools/own');
        expect(stdout).toContain('everybody can write /everybody');
        expect(stdout).toMatch(/permission denied on \/workspace \(owner and mode 1000:0 700\) for UID 100012345/);
      } finally {
        docker('rm', '--force', container);
      }
    },
    2 * minutes,
  );

  it(
    'exits 2 for an image that is not there',
    () => {
      expect(doctor(`localhost/${organization}/nothing:1`)).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('cannot give'),
      });
    },
    minutes,
  );
});
