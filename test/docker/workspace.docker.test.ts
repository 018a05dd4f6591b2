import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { fileURLToPath } from 'node:url';
import { pinnedOpencode } from '../../scripts/images/prepare.ts';
import { docker } from '../support/terraform/planned-docker.ts';
import { removeImages, withDockerAtLength } from './images.ts';
import { openRoom, type Room, type Task } from './room.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);
const root = fileURLToPath(new URL('../..', import.meta.url));
const canary = 'written-by-the-worker';
const write = (file: string, text: string): string => `SCENARIO:write ARG:${file}|${text}`;

/** One workspace through its whole life; each test goes on where the one before it ended. */
withDockerAtLength('a workspace of the docker template, as planned', () => {
  let room: Room;
  let first: Task;
  beforeAll(async () => {
    room = await openRoom({ variables: { agent_modes: ['sidecar', 'process'] } });
    await room.start();
  });
  afterAll(async () => {
    await (room as Room | undefined)?.end();
    expect(await room.left()).toEqual([]);
    removeImages();
  });

  const inspect = async (container: string, format: string): Promise<string> =>
    await docker('inspect', '--format', format, room.name(container));
  const isRunning = async (container: string): Promise<boolean> =>
    (await inspect(container, '{{.State.Running}}')) === 'true';
  const output = async (container: string, command: string): Promise<string> => {
    const { code, stdout, stderr } = await room.sh(container, command);
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
    return stdout;
  };

  it('has a worker, a sidecar and the owner of their network up, and the init container ended with 0', async () => {
    expect(await Promise.all(['worker', 'opencode', 'net', 'opencode-init'].map(isRunning))).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(await inspect('opencode-init', '{{.State.ExitCode}}')).toBe('0');
  });

  it('O-05 has /tools filled and read-only in both containers, with OpenCode of the version that is pinned', async () => {
    const modes = 'cd /tools && stat -c "%a %n" attach bridge.js egress.js enter helper.js opencode opencode.json rg';
    const where = '/tools/enter sh -c \'echo "$TOOLS_DIR $(command -v "$OPENCODE_BIN")"\'';

    for (const container of ['worker', 'opencode']) {
      expect(await output(container, modes)).toBe(
        [
          '555 attach',
          '444 bridge.js',
          '444 egress.js',
          '555 enter',
          '444 helper.js',
          '111 opencode',
          '444 opencode.json',
          '555 rg',
          '',
        ].join('\n'),
      );
      expect(await room.sh(container, ': > /tools/own')).toMatchObject({ code: expect.any(Number), stdout: '' });
      expect((await room.sh(container, ': > /tools/own')).stderr).toMatch(/Read-only file system/);
      expect(await output(container, where)).toBe('/tools /tools/opencode\n');
      expect(await output(container, 'cd / && unset BUN_BE_BUN && /tools/opencode --version')).toBe(
        `${pinnedOpencode(root)}\n`,
      );
    }
  });

  it('finishes a task in the sidecar, and the file it wrote is the worker’s too', async () => {
    await room.connected();
    first = await room.task(write('src/one.txt', 'from the agent'));

    expect(first).toMatchObject({ outcome: 'succeeded', evidence: { commit: expect.any(String) } });
    const commit = String(first.evidence?.commit);
    const seen = await room.agent().run('git', '-C', '/workspace/users', 'show', `${commit}:src/one.txt`);
    expect(seen).toMatchObject({ code: 0, stdout: 'from the agent' });
    expect(await output('worker', 'cat /workspace/.outrigger/worktrees/*/src/one.txt')).toBe('from the agent');
  });

  it('I-16 O-66 shows an edit of either container to the other at once', async () => {
    await output('worker', `echo ${canary} >> /workspace/users/README.md`);
    expect(await output('opencode', 'tail -n 1 /workspace/users/README.md')).toBe(`${canary}\n`);

    await output('opencode', 'echo agent > /workspace/users/notes.txt');
    expect(await output('worker', 'cat /workspace/users/notes.txt && rm /workspace/users/notes.txt')).toBe('agent\n');
  });

  it('begins PATH with /tools in terminals, worker and sidecar (part of O-68)', async () => {
    const { stdout: terminal } = await room.agent().run('printenv', 'PATH');
    const pathOf = async (container: string) => await output(container, '/tools/enter printenv PATH');

    for (const path of [terminal, await pathOf('worker'), await pathOf('opencode')]) expect(path).toMatch(/^\/tools:/);
  });

  it('goes on when the worker is restarted outside Terraform: the sidecar still hears and works', async () => {
    const before = await inspect('opencode', '{{.Id}} {{.State.StartedAt}}');

    await docker('restart', '--time', '5', room.name('worker'));
    await room.agent().runScripts();
    const task = await room.task(write('src/two.txt', 'after the restart'));

    expect(task).toMatchObject({ outcome: 'succeeded' });
    expect(await inspect('opencode', '{{.Id}} {{.State.StartedAt}}')).toBe(before);
    expect(await output('worker', 'getent hosts host.docker.internal')).toMatch(/\d+\.\d+/);
    expect(await output('worker', 'cat /workspace/.outrigger/worktrees/*/src/two.txt')).toBe('after the restart');
  });

  it('P-75 P-86 publishes no port and is never started by Docker', async () => {
    for (const container of ['worker', 'opencode', 'net', 'opencode-init']) {
      const facts = await inspect(container, '{{json .HostConfig.PortBindings}} {{.HostConfig.RestartPolicy.Name}}');
      expect(facts).toMatch(/^(\{\}|null) no$/);
    }
    expect(await docker('port', room.name('net'))).toBe('');
  });

  it('keeps home, repository and sessions over stop and start, and the next build’s proof is accepted', async () => {
    await output('worker', 'echo kept > /home/coder/kept.txt');
    await room.stop();
    expect((await room.left()).filter((name) => /^coder-ada|^coder-[^-]+-[^-]+-[^-]+-[^-]+-[^-]+$/.test(name))).toEqual(
      [],
    );

    const token = room.agentToken();
    await room.start();
    await room.connected();
    const task = await room.task(write('src/three.txt', 'after the start'));

    expect(room.agentToken()).not.toBe(token);
    expect(task).toMatchObject({ outcome: 'succeeded' });
    expect(await output('worker', 'cat /home/coder/kept.txt')).toBe('kept\n');
    expect(await output('worker', 'tail -n 1 /workspace/users/README.md')).toBe(`${canary}\n`);
    expect(await output('worker', 'cat /workspace/.outrigger/worktrees/*/src/one.txt')).toBe('from the agent');
    expect(await output('opencode', `grep -rlaF ${first.session_id} /var/lib/outrigger-agent`)).not.toBe('');
    expect((await room.agent().runScripts())['Clone repository']?.stdout).toContain('is left alone');
  });

  it('S-15 finishes the same task in the worker when the owner chooses agent_mode=process', async () => {
    await room.stop();
    room.choose({ agent_mode: 'process' });
    await room.start();
    await room.connected();
    const same = await room.task(write('src/one.txt', 'from the agent'));

    expect((await room.left()).filter((name) => name.endsWith('.opencode'))).toEqual([]);
    expect(same).toMatchObject({ outcome: first.outcome, evidence: { commit: expect.any(String) } });
    const commit = String(same.evidence?.commit);
    const seen = await room.agent().run('git', '-C', '/workspace/users', 'show', `${commit}:src/one.txt`);
    expect(seen).toMatchObject({ code: 0, stdout: 'from the agent' });
  });
});
