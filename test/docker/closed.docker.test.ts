import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { idePathSalt, paths, ports } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { docker } from '../support/terraform/planned-docker.ts';
import { removeImages, withDockerAtLength } from './images.ts';
import { openRoom, type Room } from './room.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);
const canary = 'canary-of-the-home-7f31c0';
const stub = fileURLToPath(new URL('../modules/workspace/helper/stub-ide.mjs', import.meta.url));
const ide = `http://127.0.0.1:${String(ports.ide)}`;
const door = (file: string): string => `/vscode-remote-resource?path=${file}`;
const environ = door('/proc/self/environ');
const secret = door('/home/coder/secret.txt');
const facts = '/home/coder/.local/state/outrigger/facts';

/** The agent in its container against the person's: whatever it tries with its own rights, it reads nothing of theirs. */
withDockerAtLength('the sidecar against the worker, in real containers', () => {
  let room: Room;
  beforeAll(async () => {
    room = await openRoom({ hasIde: true });
    await room.startContainers();
    await installStub();
    await worker(`umask 022; echo ${canary} > ~/secret.txt; chmod 644 ~/secret.txt; chmod 755 ~`);
    await room.agent().runScripts();
    await room.connected();
  });
  afterAll(async () => {
    await (room as Room | undefined)?.end();
    removeImages();
  });

  /** code-server's flags, socket and open door without its size; OpenCode's binary is the JavaScript runtime. */
  async function installStub(): Promise<void> {
    const name = room.name('worker');
    const start = 'STUB_NOTES=/tmp/stub BUN_BE_BUN=1 exec /tools/opencode /opt/stub-ide.mjs code-server "$@"';
    await docker('cp', stub, `${name}:/opt/stub-ide.mjs`);
    const put = `printf '#!/bin/sh\\n%s\\n' '${start}' > /usr/local/bin/code-server; chmod 755 /usr/local/bin/code-server /opt/stub-ide.mjs`;
    await docker('exec', '--user', '0', name, 'sh', '-c', put);
  }

  async function worker(command: string): Promise<string> {
    const { code, stdout, stderr } = await room.agent().run('sh', '-c', command);
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
    return stdout;
  }

  /** What the agent gets out of a command of its own, whether it fails or not. */
  async function agent(command: string): Promise<string> {
    const { stdout, stderr } = await room.sh('opencode', command);
    return stdout + stderr;
  }

  it('starts the IDE when somebody asks, without touching a container (part of I-20)', async () => {
    const all = ['worker', 'opencode', 'net'];
    const lives = async () =>
      await docker('inspect', '--format', '{{.Id}} {{.State.StartedAt}} {{.RestartCount}}', ...all.map(room.name));
    const before = await lives();
    const { ada } = room.outrigger.people;
    const path = `/api/v2/agents/workspaces/${room.workspaceId}/ide`;

    expect((await room.outrigger.call(ada, 'POST', path)).status).toBeLessThan(300);
    await eventually(
      'the IDE',
      async () => (await room.outrigger.call(ada, 'GET', path)).body.idePhase === 'Ready',
      minutes,
    );

    expect(await lives()).toBe(before);
  });

  it('opens the IDE to whoever knows its path, so that the refusals below mean something', async () => {
    const gatePath = createHash('sha256').update(`${idePathSalt}${room.agentToken()}`).digest('hex');

    expect(await agent(`curl -s '${ide}/${gatePath}${secret}'`)).toBe(`${canary}\n`);
  });

  it.each([
    ['the door of the IDE, for its environment', environ],
    ['the door of the IDE, for a file of the home', secret],
    ['the root', '/'],
    ['the health of the IDE', '/healthz'],
    ['another path', `/${'f'.repeat(64)}${secret}`],
    ['a climb', `/x/..${secret}`],
  ])('says 404 and nothing else to %s', async (_what, path) => {
    expect(await agent(`curl -s --path-as-is -o /tmp/body -w '%{http_code} %{size_download}' '${ide}${path}'`)).toBe(
      '404 0',
    );
  });

  it('listens on the shared loopback with the gate and the relay only, and on no abstract socket', async () => {
    const listening = await agent('awk \'$4 == "0A" { print $2 }\' /proc/net/tcp /proc/net/tcp6');
    const found = listening
      .trim()
      .split('\n')
      .map((address) => address.split(':'))
      // Docker's own name server.
      .filter(([host]) => host !== '0B00007F')
      .map(([host, port]) => `${String(host)}:${String(Number.parseInt(String(port), 16))}`)
      .sort();

    expect(found).toEqual([ports.bridge, ports.ide].map((port) => `0100007F:${String(port)}`).sort());
    expect(await agent("grep -o '@.*' /proc/net/unix || echo none")).toBe('none\n');
  });

  it('has no process of the worker and no variable of it in /proc', async () => {
    const commands = await agent("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    const variables = await agent(
      "cat /proc/[0-9]*/environ /proc/[0-9]*/task/*/environ 2>/dev/null | tr '\\0' '\\n'; printenv",
    );

    expect(await worker("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).toMatch(
      /helper\.js serve.*sleep infinity|sleep infinity.*helper\.js serve/,
    );
    expect(commands).toContain('bridge.js');
    expect(commands).not.toMatch(/helper\.js|sleep infinity|code-server/);
    expect(variables).not.toContain(room.agentToken());
    expect(variables).not.toContain('CODER_AGENT_TOKEN');
  });

  it('cannot read the bridge’s own secrets out of /proc either', async () => {
    // By design a process that somebody starts with `docker exec` has the container's variables; the bridge is 1.
    expect(await agent('cat /proc/1/environ')).toMatch(/Permission denied/);
    expect(await agent('ls -l /proc/1/root /proc/1/fd /proc/1/cwd')).toMatch(/Permission denied/);
  });

  it('finds neither the home nor the token anywhere in its files', async () => {
    expect(await worker('cat ~/secret.txt')).toBe(`${canary}\n`);
    expect(await agent('ls -A /home/coder 2>/dev/null; cat /home/coder/secret.txt 2>&1')).toMatch(/No such file/);
    const places = `${paths.run} ${paths.workspace} ${paths.agent} ${paths.customCa} /tmp /home /mnt /media /opt /var/tmp`;
    expect(await agent(`grep -rlsaF -e ${canary} -e ${room.agentToken()} ${places}`)).toBe('');
    expect(await agent("find / -xdev -name 'ide.sock*' -o -xdev -name 'outrigger-ide-*' 2>/dev/null")).toBe('');
    expect(await agent(`find ${paths.run} -name '*.sock' 2>/dev/null`)).toBe('');
  });

  it('gains nothing by links and devices in the folder that both write', async () => {
    const bait = JSON.stringify({
      state: 'idle',
      task_id: null,
      attempt: null,
      port: null,
      session_id: null,
      doing: canary,
    });
    await worker(`printf '%s\\n' '${bait}' > ~/status.json; chmod 644 ~/status.json`);
    await agent(
      `cd ${paths.run} && rm -rf status.json ide-state.json ide.json` +
        ' && ln -s /home/coder/status.json status.json && ln -s /home/coder/secret.txt ide-state.json && ln -s /proc/self/environ ide.json' +
        ' && ln -s /home/coder ide-state.json.next && mkfifo status.json.next',
    );

    const looks = async (): Promise<string> => await worker(`stat -c %Y.%i ${facts}/agent`);
    for (let look = 0; look < 2; look += 1) {
      const before = await looks();
      await eventually('the helper to look', async () => (await looks()) !== before);
    }
    await eventually(
      'the helper to tell its state again',
      async () => (await agent(`stat -c %F ${paths.run}/ide-state.json`)).startsWith('regular'),
      minutes,
    );

    expect(await worker(`cat ${facts}/*`)).not.toContain(canary);
    expect(await worker('cat ~/secret.txt')).toBe(`${canary}\n`);
    expect(await worker('ls -A ~/ | grep -c ide-state || true')).toBe('0\n');
    expect(await agent(`find ${paths.run} -type f -exec cat {} +`)).not.toContain(canary);
  });

  it('gains nothing by a device or a program with rights, because it can make none', async () => {
    expect(await agent('mknod /run/outrigger/disk b 8 0; mount -t proc none /tmp')).toMatch(/not permitted|denied/i);
    expect(await agent("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'")).toBe(
      'CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n',
    );
    expect(await agent('touch /own')).toMatch(/Read-only file system/);
  });
});
