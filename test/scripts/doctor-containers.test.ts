import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { exitCodeOf, type Check } from '../../scripts/doctor/check.ts';
import { checkContainers, dockerPlace, podPlace } from '../../scripts/doctor/containers.ts';
import { programNamed } from '../../scripts/program.ts';

/** An engine that replays what the probes said in real containers of a workspace. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-engine-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const tools = 'sh bash git base64 sha256sum sed grep mkdir cp mv rm mktemp cat curl'.split(' ');
const common = [
  ...['uid=1000', 'gid=0', 'workspace.path=/workspace', 'workspace=writable', 'home.path=/home/coder', 'home=writable'],
  ...['tools_mount=ro,relatime', 'opencode=1.18.33', ...tools.map((tool) => `tool.${tool}=yes`)],
];
const listening = ['listens=4096 0100007F', 'answers=4096 HTTP/1.1 401 Unauthorized\r'];
const service = ['service_url=https://outrigger.example.com', 'service=200', 'gateway=401'];
const worker = [...common, ...listening, 'probe=done'];
const sidecar = [
  ...common,
  ...['agent.path=/var/lib/outrigger-agent', 'agent=writable', 'bridge=here'],
  ...listening,
  ...service,
  'probe=done',
];
const beside = ['probe=done'];

interface Replay {
  readonly worker?: readonly string[];
  readonly sidecar?: readonly string[];
  readonly beside?: readonly string[];
}

const inspected = (name: string) => [
  {
    Image: `sha256:${'a'.repeat(64)}`,
    HostConfig: { NetworkMode: name === 'net' ? 'coder-net' : 'container:abc123' },
    NetworkSettings: { Networks: name === 'net' ? { 'coder-net': { IPAddress: '172.20.0.2' } } : {} },
  },
];
const podJson = {
  spec: { containers: [{ name: 'worker', image: 'registry.example.com/base:1' }] },
  status: { podIP: '10.0.0.7' },
};

function engine(replay: Replay): string {
  const texts = { worker, sidecar, beside, ...replay };
  for (const [name, lines] of Object.entries(texts)) writeFileSync(join(folder, name), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'inspect'), JSON.stringify(inspected('worker')));
  writeFileSync(join(folder, 'net'), JSON.stringify(inspected('net')));
  writeFileSync(join(folder, 'pod'), JSON.stringify(podJson));
  const program = join(folder, 'engine');
  writeFileSync(
    program,
    `#!/bin/sh
cd ${folder}
echo "$*" >> said
case "$*" in
  *"exec -i coder-ada-first sh -s" | *"exec -i p -c worker "*) cat worker ;;
  *"exec -i coder-ada-first.opencode sh -s" | *"exec -i p -c opencode "*) cat sidecar ;;
  "inspect "*abc123) cat net ;;
  "inspect "*) cat inspect ;;
  *"get pod "*) cat pod ;;
  *"run "*) cat beside ;;
esac
`,
  );
  chmodSync(program, 0o755);
  return program;
}

const docker = (replay: Replay): Promise<readonly Check[]> =>
  checkContainers(dockerPlace(programNamed(engine(replay)), 'docker', 'coder-ada-first'), { outside: true });
const flaws = (checks: readonly Check[]): string[] =>
  checks
    .filter(({ state }) => state !== 'ok')
    .map(({ state, name, found, remedy }) => `${state} ${name}: ${found} → ${remedy}`);
const without = (lines: readonly string[], gone: RegExp, more: readonly string[] = []): string[] => [
  ...lines.filter((line) => !gone.test(line)),
  ...more,
];

describe('outrigger doctor looks into a workspace', () => {
  it('finds nothing wrong where all is well, in Docker and in Kubernetes', async () => {
    expect(flaws(await docker({}))).toEqual([]);
    const kubectl = programNamed(engine({}));
    expect(flaws(await checkContainers(podPlace(kubectl, 'coder-workspaces', 'p'), { outside: true }))).toEqual([]);
  });

  it.each<[string, Replay, string, string]>([
    [
      'a service that is not reached',
      { sidecar: without(sidecar, /^service=/, ['service_error=ConnectionRefused']) },
      'opencode: service',
      'docker exec coder-ada-first.opencode curl -v https://outrigger.example.com/readyz',
    ],
    [
      'a gateway that is not reached',
      { sidecar: without(sidecar, /^gateway=/, ['gateway=502']) },
      'opencode: gateway',
      'curl -v',
    ],
    ['tools that are not mounted', { worker: without(worker, /^tools_mount/) }, 'worker: /tools', 'coder restart'],
    [
      'tools that the init container did not bring',
      { worker: without(worker, /^$/, ['tools_missing=rg']) },
      'worker: /tools',
      'docker logs coder-ada-first.opencode-init',
    ],
    ['a bridge that does not run', { sidecar: without(sidecar, /^bridge=/) }, 'opencode: bridge', 'coder restart'],
  ])('O-57 exits with 2 for %s, and names what mends it', async (_what, replay, name, remedy) => {
    const checks = await docker(replay);

    expect(flaws(checks)).toEqual([expect.stringMatching(new RegExp(`^fail ${name}: .* → .*`))]);
    expect(flaws(checks)[0]).toContain(remedy);
    expect(exitCodeOf({ subject: '', checks })).toBe(2);
  });

  it('O-57 O-58 names path, owner, UID and remedy where the workspace refuses', async () => {
    const refused = without(worker, /^workspace=/, ['workspace=refused', 'workspace.owner=0:0 755']);

    expect(flaws(await docker({ worker: refused }))).toEqual([
      'fail worker: workspace: permission denied on /workspace (owner and mode 0:0 755) for UID 1000, group 0 → ' +
        "docker run --rm --user 0:0 --volumes-from coder-ada-first --entrypoint sh $(docker inspect -f '{{.Image}}' coder-ada-first) -c 'chown -R 1000:0 /workspace && chmod -R g=u /workspace'",
    ]);
  });

  it('O-59 prints the list of missing tools', async () => {
    expect(flaws(await docker({ worker: without(worker, /^tool\.(git|curl)=/) }))).toEqual([
      expect.stringMatching(/^fail worker: tools: missing: git, curl or wget → .*apt-get install -y git curl/),
    ]);
  });

  it.each<[string, Replay, string]>([
    [
      'listens beyond loopback',
      { sidecar: without(sidecar, /^listens/, ['listens=4096 00000000']) },
      'listens beyond loopback',
    ],
    [
      'asks for no password',
      { sidecar: without(sidecar, /^answers/, ['answers=4096 HTTP/1.1 200 OK\r']) },
      'answers 200 without a password',
    ],
    [
      'asks for no password on one of its ports, while another says nothing',
      {
        sidecar: [
          ...without(sidecar, /^answers/),
          'answers=4096 accepts connections',
          'answers=40123 HTTP/1.1 200 OK\r',
        ],
      },
      'port 40123 answers 200 without a password',
    ],
    [
      'answers another container',
      { beside: ['outside=4096 HTTP/1.1 200 OK\r', 'probe=done'] },
      'answers: 4096 HTTP/1.1 200 OK',
    ],
    [
      'lets another container connect',
      { beside: ['outside=4096 accepts connections', 'probe=done'] },
      'accepts connections',
    ],
  ])('turns red for an OpenCode that %s (part of D3)', async (_what, replay, sentence) => {
    const [flaw, ...others] = flaws(await docker(replay));

    expect(flaw).toMatch(/^fail /);
    expect(flaw).toContain(sentence);
    expect(others).toEqual([]);
  });

  it('tries OpenCode from another container of the same network, on every port that it listens on (part of D3)', async () => {
    await docker({ sidecar: [...sidecar, 'listens=40123 0100007F'] });
    const said = readFileSync(join(folder, 'said'), 'utf8');

    expect(said).toMatch(/run --rm -i --network coder-net .*--cap-drop ALL.* 172\.20\.0\.2 4096 40123/);
    await checkContainers(podPlace(programNamed(join(folder, 'engine')), 'ns', 'p'), { outside: true });
    const run = readFileSync(join(folder, 'said'), 'utf8')
      .split('\n')
      .find((line) => line.includes('-n ns run '));
    expect(run).toContain('--overrides={"spec":{"restartPolicy":"Never"');
    expect(readFileSync(join(folder, 'said'), 'utf8')).toContain('10.0.0.7');
  });

  it('does not know where the engine is missing, and says so once', async () => {
    const checks = await checkContainers(dockerPlace(programNamed(join(folder, 'none')), 'docker', 'x'), {
      outside: true,
    });

    expect(flaws(checks)).toEqual([
      expect.stringContaining('unknown containers: there is no docker in PATH → Install docker'),
    ]);
  });
});
