import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Check } from '../../scripts/doctor/check.ts';
import { checkContainers, dockerPlace } from '../../scripts/doctor/containers.ts';
import { programNamed } from '../../scripts/program.ts';
import { installTools, type Tools } from '../support/bridge/bridge-process.ts';
import { eventually } from '../support/clock.ts';
import { docker, dockerResult } from '../support/terraform/planned-docker.ts';

const withDocker = process.env['OUTRIGGER_TEST_DOCKER'] === '1' ? describe : describe.skip;
const image = process.env['OUTRIGGER_TEST_BASE_IMAGE'] ?? 'outrigger-base:bookworm';

const workspace = `outrigger-d3-${process.pid}`;
const holder = `${workspace}.net`;
const sidecar = `${workspace}.opencode`;
const password = 'canarypasswordofthisattempt';
const loopback = ['--hostname', '127.0.0.1'];
const everywhere = ['--hostname', '0.0.0.0'];
const minuteMs = 60_000;

/** Containers as the docker template makes them, as far as a port matters; in them the real OpenCode. */
withDocker('outrigger doctor tries a real OpenCode from another container', () => {
  let tools: Tools;
  const asPerson = ['--user', '1000:0', '--cap-drop', 'ALL', '--network', `container:${holder}`];

  beforeAll(async () => {
    tools = await installTools();
    await docker('network', 'create', '--label', 'outrigger-test', workspace);
    await docker('run', '--detach', '--name', holder, '--network', workspace, image, 'sleep', 'infinity');
    await docker('run', '--detach', '--name', workspace, ...asPerson, image, 'sleep', 'infinity');
  }, minuteMs);
  afterEach(async () => void (await dockerResult('rm', '--force', sidecar)));
  afterAll(async () => {
    await dockerResult('rm', '--force', workspace, holder);
    await dockerResult('network', 'rm', workspace);
    tools.remove();
  }, minuteMs);

  /** Starts OpenCode in the sidecar and answers once it serves: it listens long before that. */
  async function serve(words: readonly string[], environment: readonly string[]): Promise<void> {
    const given = ['HOME=/tmp', ...environment].flatMap((one) => ['--env', one]);
    const mounted = ['--mount', `type=bind,source=${tools.directory},target=/tools,readonly`];
    const command = ['/tools/opencode', 'serve', '--port', '4096', ...words];
    await docker('run', '--detach', '--name', sidecar, ...asPerson, ...given, ...mounted, image, ...command);
    const request = 'exec 3<>/dev/tcp/127.0.0.1/4096; printf "GET /session HTTP/1.0\\r\\n\\r\\n" >&3; head -c 5 <&3';
    const answer = async () => await dockerResult('exec', workspace, 'timeout', '60', 'bash', '-c', request);
    await eventually('OpenCode to serve', async () => (await answer()).stdout === 'HTTP/', 4 * minuteMs);
  }
  /** What the doctor says of OpenCode; the rest of this workspace is missing. */
  async function said(): Promise<readonly string[]> {
    const checks = await checkContainers(dockerPlace(programNamed('docker'), 'docker', workspace), { outside: true });
    return checks.filter(({ name }) => name.includes('OpenCode')).map(line);
  }
  const line = ({ state, name, found }: Check): string => `${state} ${name}: ${found}`;
  const inside = (state: string, found: string): string[] =>
    ['worker', 'opencode'].map((one) => `${state} ${one}: OpenCode: ${found}`);

  it.each([
    [
      'D3 finds the port refused as the bridge starts it',
      loopback,
      [`OPENCODE_SERVER_PASSWORD=${password}`],
      [
        ...inside('ok', 'port 4096 is on loopback and answers 401 without a password'),
        'ok OpenCode from another container: its port is closed',
      ],
    ],
    [
      'D3 turns red without a password',
      loopback,
      [],
      [
        ...inside('fail', 'port 4096 answers 200 without a password'),
        'ok OpenCode from another container: its port is closed',
      ],
    ],
    [
      'D3 turns red beyond loopback, where others get 401',
      everywhere,
      [`OPENCODE_SERVER_PASSWORD=${password}`],
      [...inside('fail', 'port 4096 listens beyond loopback'), 'ok OpenCode from another container: answers 401'],
    ],
    [
      'D3 turns red where another container drives the agent',
      everywhere,
      [],
      [
        ...inside('fail', 'port 4096 listens beyond loopback'),
        'fail OpenCode from another container: answers: 4096 HTTP/1.1 200 OK',
      ],
    ],
  ])(
    '%s',
    async (_title, words, environment, expected) => {
      await serve(words, environment);

      expect(await said()).toEqual(expected);
    },
    6 * minuteMs,
  );
});
