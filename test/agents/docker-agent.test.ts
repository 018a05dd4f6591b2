import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { handedOver, type Task } from '../../modules/contract.ts';
import { AgentFailure } from '../../service/agents/agent-failure.ts';
import { dockerActions, makeDockerAgent, type DockerBounds } from '../../service/agents/docker/docker-agent.ts';
import { readDockerAccess } from '../../service/agents/docker/docker-access.ts';
import { makeEngine } from '../../service/agents/docker/engine.ts';
import { allowedImage, readImages } from '../../service/agents/docker/images.ts';
import { lastOfLog } from '../../service/agents/docker/log-frames.ts';
import { taskOf } from '../support/agent-task.ts';
import { framed, startFakeDocker, type FakeDocker } from '../support/fake-docker.ts';

const bounds: DockerBounds = {
  images: ['tool', 'rooted', 'named', 'far'],
  mayPull: false,
  network: 'none',
  socket: null,
  allowInsecureHttp: false,
};
const whole = (name: string): string => `docker.io/library/${name}:latest`;
const minutes = 60_000;
let docker: FakeDocker;
let now: Date;

beforeEach(async () => {
  now = new Date();
  docker = await startFakeDocker(
    {
      [whole('tool')]: { id: 'sha256:tool' },
      [whole('rooted')]: { id: 'sha256:rooted', user: 'root:root', volumes: ['/data'] },
      [whole('named')]: { id: 'sha256:named', user: 'app' },
    },
    { [whole('far')]: { id: 'sha256:far' } },
  );
});
afterEach(() => docker.close());

const agent = (change: Partial<DockerBounds> = {}, config: string | null = docker.config) =>
  makeDockerAgent({
    hostOf: () => Promise.resolve(config),
    connect: makeEngine,
    bounds: { ...bounds, ...change },
    clock: { now: () => now },
    lookEveryMs: 5,
  });
const alive = (): AbortSignal => new AbortController().signal;
const first = taskOf('docker', 'run_image', {});
const other = '019aa000-0000-7000-8000-0000000000ff';
const nameOf = ({ id }: Task): string => `outrigger-task-${id}`;
const runs = (argv: string[], more: object = {}): Task => ({ ...first, params: { image: 'tool', argv, ...more } });
const asks = (action: string, change: Partial<Task> = {}): Task => ({
  ...taskOf('docker', action, { task_id: first.id }, { id: other }),
  ...change,
});
const failureOf = (work: () => unknown): Promise<AgentFailure> =>
  Promise.resolve()
    .then(work)
    .then(
      () => Promise.reject(new Error('it did not fail')),
      (error: unknown) => (error instanceof AgentFailure ? error : Promise.reject(error)),
    );
const failed = (task: Task, change: Partial<DockerBounds> = {}) =>
  failureOf(() => agent(change).execute(task, { signal: alive() }));
/** Until the container of a task runs. */
async function running(task: Task): Promise<void> {
  while (docker.containers.get(nameOf(task))?.status !== 'running')
    await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('the daemon of an organization', () => {
  const pem = '-----BEGIN CERTIFICATE-----\ncanary\n';
  const tcp = 'tcp://docker.example.com:2376';

  it('is taken with a client certificate, on the usual port where none is named', () => {
    const { key } = JSON.parse(docker.config) as { key: string };
    const given = JSON.stringify({ ...(JSON.parse(docker.config) as object), host: 'tcp://docker.example.com' });

    expect(readDockerAccess(given, bounds)).toMatchObject({
      url: new URL('https://docker.example.com:2376'),
      socketPath: null,
      tls: { key },
    });
  });

  it.each([
    ['is no JSON', 'canary: [', /it is not JSON/],
    ['has no certificate', JSON.stringify({ host: tcp }), /all of ca, cert and key/],
    ['has no key', JSON.stringify({ host: tcp, ca: pem, cert: pem }), /all of ca, cert and key/],
    ['holds what is no certificate', JSON.stringify({ host: tcp, ca: pem, cert: pem, key: pem }), /in PEM/],
    ['names files', JSON.stringify({ host: tcp, ca: '/etc/canary' }), /ca \(/],
    ['names something else', JSON.stringify({ host: tcp, exec: 'canary' }), /unrecognized/],
    ['speaks ssh', JSON.stringify({ host: 'ssh://canary@docker' }), /tcp:/],
    ['holds a password', JSON.stringify({ host: 'tcp://u:canary@docker:2376' }), /tcp:/],
    ['is a socket that nobody named', JSON.stringify({ host: 'unix:///canary.sock' }), /OUTRIGGER_DOCKER_SOCKET/],
  ])('is refused where it %s, and nothing of it is repeated', async (_title, text, words) => {
    const failure = await failureOf(() => readDockerAccess(text, bounds));

    expect(failure).toMatchObject({ reason: 'ContextError', message: expect.stringMatching(words) });
    expect(failure.message).not.toContain('canary');
  });

  it('may be plain on this machine, or a socket, only where an admin of the service says so', async () => {
    const plain = (host: string) => JSON.stringify({ host });
    const lax = { socket: '/run/docker.sock', allowInsecureHttp: true };

    expect(readDockerAccess(plain('tcp://127.0.0.1:2375'), lax).tls).toBeNull();
    expect(readDockerAccess(plain('unix:///run/docker.sock'), lax).socketPath).toBe('/run/docker.sock');
    for (const host of [tcp, 'tcp://127.0.0.1.example.com:2375', 'unix:///run/other.sock', 'unix:///run/../x'])
      await failureOf(() => readDockerAccess(plain(host), lax));
  });

  it('is missed with a sentence that says who gives it', async () => {
    const failure = await failureOf(() => agent({}, null).execute(runs(['echo']), { signal: alive() }));

    expect(failure).toMatchObject({ reason: 'ContextError', message: expect.stringContaining('DOCKER_HOST_CONFIG') });
  });
});

describe('an image', () => {
  const digest = `@sha256:${'a'.repeat(64)}`;

  it.each([
    ['tool', 'tool', 'docker.io/library/tool:latest'],
    ['tool', 'docker.io/library/tool:2', 'docker.io/library/tool:2'],
    ['tool:2', 'tool:2', 'docker.io/library/tool:2'],
    ['team/', 'team/tool', 'docker.io/team/tool:latest'],
    ['r.example.com/', 'r.example.com/a/b:1', 'r.example.com/a/b:1'],
    ['r.example.com:5000/a/', 'r.example.com:5000/a/b', 'r.example.com:5000/a/b:latest'],
    [`tool${digest}`, `tool${digest}`, `docker.io/library/tool${digest}`],
  ])('listed as %s allows %s', (word, image, expected) => {
    expect(allowedImage(image, readImages([word]))).toBe(expected);
  });

  it.each([
    ['tool', 'toolbox'],
    ['tool', 'evil/tool'],
    ['tool', 'r.example.com/tool'],
    ['tool:2', 'tool'],
    ['tool:2', `tool:2${digest}`],
    ['tool:2', 'tool:22'],
    ['team/', 'team'],
    ['team/', 'teams/tool'],
    ['team/', 'team.example.com/tool'],
    ['r.example.com/a', 'r.example.com/a/b'],
    ['r.example.com/a/', 'r.example.com/a/../b'],
    ['tool', `sha256:${'a'.repeat(64)}`],
  ])('listed as %s does not allow %s', async (word, image) => {
    await failureOf(() => allowedImage(image, readImages([word])));
  });

  it('cannot be listed where it is none, and none may run where none is listed', async () => {
    for (const word of ['*', 'Tool', 'a b', '/']) expect(() => readImages([word])).toThrow(/which is no image/);
    expect(await failed(runs(['echo']), { images: [] })).toMatchObject({
      reason: 'ContextError',
      message: expect.stringContaining('OUTRIGGER_DOCKER_IMAGES'),
    });
    expect(docker.calls).toEqual([]);
  });

  it('that is missing is fetched only where an admin allows it', async () => {
    const task = runs(['echo', 'came'], { image: 'far' });

    expect(await failed(task)).toMatchObject({ message: expect.stringContaining('OUTRIGGER_DOCKER_PULL=true') });
    expect(docker.calls.join()).not.toContain('/images/create');
    expect((await agent({ mayPull: true }).execute(task, { signal: alive() })).output).toBe('came');
    expect(await failed({ ...runs(['echo'], { image: 'far:2' }), id: other }, { mayPull: true })).toMatchObject({
      reason: 'ContextError',
      message: expect.stringContaining('manifest unknown'),
    });
  });
});

describe('run_image', () => {
  it('takes a closed list of parameters', () => {
    const params = dockerActions.find(({ name }) => name === 'run_image')?.params;
    const takes = (value: object) => params?.safeParse({ image: 'tool', ...value }).success;

    expect(takes({ argv: ['sh'], env: { MODE: 'fast', MONKEY: 'x' }, timeout_seconds: 3_600 })).toBe(true);
    for (const value of [
      { privileged: true },
      { binds: ['/:/host'] },
      { image: 'Tool' },
      { env: { API_KEY: 'x' } },
      { env: { github_token: 'x' } },
      { env: { 'A=B': 'x' } },
      { timeout_seconds: 3_601 },
      { argv: [] },
    ])
      expect([value, takes(value)]).toEqual([value, false]);
  });

  it('makes a container without rights, network, host or disk, that says whose it is', async () => {
    await agent().execute(runs(['echo', 'hi'], { env: { MODE: 'fast' } }), { signal: alive() });

    expect(docker.containers.get(nameOf(first))?.body).toMatchObject({
      Image: 'sha256:tool',
      Cmd: ['echo', 'hi'],
      Env: ['MODE=fast'],
      User: '65534:65534',
      Labels: { 'outrigger.task': first.id, 'outrigger.organization': first.organizationId },
      HostConfig: {
        AutoRemove: false,
        Privileged: false,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        ReadonlyRootfs: true,
        NetworkMode: 'none',
        Memory: 1_073_741_824,
        MemorySwap: 1_073_741_824,
        NanoCpus: 1_000_000_000,
        PidsLimit: 256,
        Mounts: [{ Type: 'tmpfs', Target: '/tmp' }],
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
      },
    });
    expect(docker.containers.get(nameOf(first))?.body['HostConfig']).not.toHaveProperty('Binds');
  });

  it('keeps the user of an image but root, and its volumes in memory', async () => {
    const bodyFor = async (id: string, image: string, change: Partial<DockerBounds> = {}) => {
      await agent(change).execute({ ...runs(['echo'], { image }), id }, { signal: alive() });
      return docker.containers.get(`outrigger-task-${id}`)?.body;
    };

    expect(await bodyFor(first.id, 'rooted')).toMatchObject({
      User: '65534:65534',
      HostConfig: { Mounts: [{ Target: '/tmp' }, { Type: 'tmpfs', Target: '/data' }] },
    });
    expect(await bodyFor(other, 'named', { network: 'jobs' })).toMatchObject({
      User: 'app',
      HostConfig: { NetworkMode: 'jobs' },
    });
  });

  it('fails with the exit code and the end of the log, and does so again', async () => {
    const task = runs(['fail', '3', 'no', 'such', 'file']);
    const failures = [await failed(task), await failed(task)];

    for (const failure of failures)
      expect(failure).toMatchObject({
        reason: 'AgentError',
        retryable: false,
        message: 'The container ended with exit code 3. The end of its log:\nno such file',
      });
    expect(docker.made).toBe(1);
  });

  it('fails where the command cannot start', async () => {
    expect(await failed(runs(['none']))).toMatchObject({
      reason: 'AgentError',
      message: expect.stringContaining('executable file not found'),
    });
  });

  it('is stopped, and its container is removed, when it is told to end', async () => {
    const task = runs(['sleep']);
    const end = new AbortController();
    const work = failureOf(() => agent().execute(task, { signal: end.signal }));
    await running(task);
    docker.breakOnce(/^POST .*\/stop$/, 500);
    end.abort();

    expect(await work).toMatchObject({ reason: 'UserStopped' });
    expect(docker.containers.size).toBe(0);
  });

  it('goes on where another process takes it over, which reads the same result', async () => {
    const task = runs(['sleep']);
    const end = new AbortController();
    const work = failureOf(() => agent().execute(task, { signal: end.signal }));
    await running(task);
    end.abort(handedOver);
    await work;
    const container = docker.containers.get(nameOf(task));
    const followed = agent().execute(task, { signal: alive() });
    if (container) Object.assign(container, { status: 'exited', log: framed('late\n') });

    expect((await followed).output).toBe('late');
    expect(docker.made).toBe(1);
  });

  it('is ended when its time is over', async () => {
    const task = runs(['sleep'], { timeout_seconds: 60 });
    const work = failed(task);
    await running(task);
    now = new Date(now.getTime() + 61_000);

    expect(await work).toMatchObject({ reason: expect.stringMatching(/^(Timeout|AgentError)$/) });
    expect(docker.containers.get(nameOf(task))?.status).toBe('exited');
  });

  it('removes what ended more than an hour before, and nothing else', async () => {
    await agent().execute(runs(['echo']), { signal: alive() });
    const old = docker.containers.get(nameOf(first));
    const next = (id: string) => agent().execute({ ...runs(['echo']), id }, { signal: alive() });
    if (old) Object.assign(old, { createdAt: new Date(now.getTime() - 120 * minutes) });
    await next(other);
    expect(docker.containers.has(nameOf(first))).toBe(true);

    if (old) Object.assign(old, { finishedAt: new Date(now.getTime() - 61 * minutes) });
    await next(other.replace(/ff$/, 'fe'));
    expect(docker.containers.has(nameOf(first))).toBe(false);
    expect(docker.containers.size).toBe(2);
  });

  it('says that the daemon does not answer, and may be tried again', async () => {
    docker.breakOnce(/create$/, 503);

    expect(await failed(runs(['echo']))).toMatchObject({ reason: 'UpstreamError', retryable: true });
    await docker.close();
    expect(await failed(runs(['echo']))).toMatchObject({ reason: 'UpstreamError', retryable: true });
  });
});

describe('logs and stop', () => {
  it('read and end the container of a task', async () => {
    const task = runs(['sleep']);
    const work = failed(task);
    await running(task);
    const container = docker.containers.get(nameOf(task));
    if (container) container.log = Buffer.concat([framed('out\n'), framed('err\n', 2)]);

    expect(await agent().execute(asks('logs'), { signal: alive() })).toMatchObject({
      output: 'out\nerr',
      objects: [{ kind: 'Container', name: nameOf(task), result: 'read' }],
    });
    const stops = async () => (await agent().execute(asks('stop'), { signal: alive() })).objects[0]?.result;
    expect([await stops(), await stops()]).toEqual(['changed', 'unchanged']);
    expect(await work).toMatchObject({ reason: 'AgentError' });
  });

  it.each([
    ['another organization', { organizationId: other }],
    ['another person', { ownerId: other }],
  ])('find no container of %s', async (_title, change) => {
    await agent().execute(runs(['echo', 'private']), { signal: alive() });

    for (const action of ['logs', 'stop'])
      expect(await failed(asks(action, change))).toMatchObject({
        reason: 'ContextError',
        message: expect.stringMatching(/^There is no container of task/),
      });
  });

  it('cannot change anything unless the task is trusted', () => {
    expect(dockerActions.map(({ name, changes }) => [name, changes ?? false])).toEqual([
      ['run_image', true],
      ['logs', false],
      ['stop', true],
    ]);
  });
});

describe('the log of a container', () => {
  it('is cut at its beginning, between characters', () => {
    const log = Buffer.concat([framed('é'.repeat(10)), framed('end\n', 2)]);

    expect(lastOfLog(log, 100)).toBe(`${'é'.repeat(10)}end`);
    expect(lastOfLog(log, 7)).toBe('éend');
    expect(lastOfLog(log.subarray(0, 12), 100)).toBe('éé');
    expect(lastOfLog(Buffer.alloc(0), 100)).toBe('');
  });
});
