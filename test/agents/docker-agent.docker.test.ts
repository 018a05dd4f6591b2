import { afterEach, expect, it, jest } from '@jest/globals';
import type { Task } from '../../modules/contract.ts';
import { makeDockerAgent } from '../../service/agents/docker/docker-agent.ts';
import { makeEngine } from '../../service/agents/docker/engine.ts';
import { bareImage, withDockerAtLength } from '../docker/images.ts';
import { taskOf } from '../support/agent-task.ts';
import { docker } from '../support/terraform/planned-docker.ts';

jest.setTimeout(400_000);

const socket = (process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
const id = (number: number): string => `019aa000-0000-7000-8000-${String(process.pid * 10 + number).padStart(12, '0')}`;
const nameOf = (task: Task): string => `outrigger-task-${task.id}`;
const runs = (number: number, line: string, more: object = {}): Task =>
  taskOf('docker', 'run_image', { image: bareImage, argv: ['sh', '-c', line], ...more }, { id: id(number) });
const agent = (images: readonly string[] = [bareImage], mayPull = false) =>
  makeDockerAgent({
    hostOf: () => Promise.resolve(JSON.stringify({ host: `unix://${socket}` })),
    connect: makeEngine,
    bounds: { images, mayPull, network: 'none', socket, allowInsecureHttp: false },
    clock: { now: () => new Date() },
    lookEveryMs: 100,
  });
const execute = (task: Task, signal = new AbortController().signal) => agent().execute(task, { signal });

withDockerAtLength('agent docker on a real daemon', () => {
  afterEach(async () => {
    for (const number of [1, 2, 3, 4, 5])
      await docker('rm', '--force', '--volumes', `outrigger-task-${id(number)}`).catch(() => '');
  });

  it('runs an image without rights, network or disk, and reads the same result again', async () => {
    const look = [
      'id -u',
      'grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status',
      'touch /nowhere 2>/dev/null || echo no disk',
      'touch /tmp/here && echo memory',
      'ls /sys/class/net',
      'echo to stderr >&2',
    ].join('; ');
    const task = runs(1, look);
    const { output, objects } = await execute(task);

    // The two streams are two pipes: nothing says which of them the daemon reads first.
    expect(output).toContain('to stderr');
    expect(output.replace(/\n?to stderr/, '').trim()).toMatch(
      /^65534\nCapEff:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2\nno disk\nmemory\nlo$/,
    );
    expect(objects).toEqual([{ kind: 'Container', namespace: null, name: nameOf(task), result: 'created' }]);
    expect(await execute(task)).toEqual({ output, objects });
    expect(await execute({ ...taskOf('docker', 'logs', { task_id: task.id }), id: id(9) })).toMatchObject({ output });
  });

  it('fails with the exit code, where the command is not there, and where the image is not', async () => {
    await expect(execute(runs(2, 'echo why >&2; exit 3'))).rejects.toMatchObject({
      reason: 'AgentError',
      message: 'The container ended with exit code 3. The end of its log:\nwhy',
    });
    await expect(execute(runs(3, '', { argv: ['/no-such-program'] }))).rejects.toMatchObject({
      reason: 'AgentError',
      message: expect.stringMatching(/^The command cannot start: .*no such file/),
    });
    const missing = { ...runs(4, ''), params: { image: 'localhost/outrigger-no-such-image:1' } };
    // No registry answers there: the daemon says so with 500.
    for (const [mayPull, reason, words] of [
      [false, 'ContextError', /OUTRIGGER_DOCKER_PULL=true/],
      [true, 'UpstreamError', /^Docker answered 500: .*localhost/],
    ] as const)
      await expect(
        agent(['localhost/'], mayPull).execute(missing, { signal: new AbortController().signal }),
      ).rejects.toMatchObject({ reason, message: expect.stringMatching(words) });
  });

  it('stops and removes its container when it is told to end', async () => {
    const task = runs(5, 'echo begun; sleep 600');
    const end = new AbortController();
    const ended = execute(task, end.signal).catch((error: unknown) => error);
    const log = { ...taskOf('docker', 'logs', { task_id: task.id }), id: id(9) };
    while ((await execute(log).catch(() => ({ output: '' }))).output !== 'begun');
    end.abort();
    expect(await ended).toMatchObject({ reason: 'UserStopped' });

    await expect(docker('inspect', nameOf(task))).rejects.toThrow();
  });
});
