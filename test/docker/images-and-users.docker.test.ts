import { afterAll, afterEach, expect, it, jest } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { docker } from '../support/terraform/planned-docker.ts';
import { bareImage, layerOn, removeImages, withDockerAtLength } from './images.ts';
import { openRoom, type Room } from './room.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);

withDockerAtLength('a workspace whose image or user we did not make', () => {
  let room: Room | undefined;
  afterEach(async () => {
    await room?.end();
    expect(await room?.left()).toEqual([]);
    room = undefined;
  });
  afterAll(removeImages);

  it('works as a user that no image knows (part of O-23)', async () => {
    room = await openRoom({ user: '100012345:0' });
    await room.start();
    await room.connected();
    const task = await room.task('SCENARIO:write ARG:src/any.txt|by anybody');

    expect(await room.sh('opencode', 'id -u')).toMatchObject({ stdout: '100012345\n' });
    expect(await room.agent().run('sh', '-c', 'echo $HOME; id -u')).toMatchObject({
      stdout: '/home/coder\n100012345\n',
    });
    expect(task).toMatchObject({ outcome: 'succeeded', evidence: { commit: expect.any(String) } });
    expect(await room.agent().run('sh', '-c', 'cat /workspace/.outrigger/worktrees/*/src/any.txt')).toMatchObject({
      stdout: 'by anybody',
    });
  });

  it('O-02 starts in an image that the owner names, which is Debian with nothing added, and says what a task lacks there', async () => {
    room = await openRoom({ own: bareImage });
    await room.startContainers();
    const { 'Clone repository': clone } = await room.agent().runScripts();
    await room.connected();
    const task = await room.task('SCENARIO:write ARG:src/one.txt|from the agent');

    expect(clone).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no git in this image') });
    expect(task).toMatchObject({ outcome: 'failed', reason: 'ContextError' });
    const image = await docker('image', 'inspect', '--format', '{{.Id}}', bareImage);
    for (const container of ['worker', 'opencode']) {
      expect(await docker('inspect', '--format', '{{.Image}}', room.name(container))).toBe(image);
      expect(await room.sh(container, 'command -v node git curl')).toMatchObject({ stdout: '' });
      expect(await room.sh(container, 'cd / && unset BUN_BE_BUN && /tools/opencode --version')).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      });
    }
  });

  it('O-02 finishes a task in Debian with git and without Node', async () => {
    room = await openRoom({ own: layerOn(bareImage, 'with-git', 'test/docker/with-git.Dockerfile') });
    await room.start();
    await room.connected();
    const task = await room.task('SCENARIO:write ARG:src/one.txt|from the agent');

    expect(await room.sh('opencode', 'command -v node curl')).toMatchObject({ stdout: '' });
    expect(task).toMatchObject({ outcome: 'succeeded', evidence: { commit: expect.any(String) } });
    expect(await room.agent().run('sh', '-c', 'cat /workspace/.outrigger/worktrees/*/src/one.txt')).toMatchObject({
      stdout: 'from the agent',
    });
  });

  it('O-02 says in one sentence that an image with musl instead of glibc cannot run OpenCode', async () => {
    const musl = layerOn(bareImage, 'musl', 'test/docker/musl.Dockerfile');
    room = await openRoom({ own: musl, choices: { git_repository: '' } });
    await room.startContainers();
    const { name, logs, agent } = room;

    const state = '{{.State.Running}} {{.State.ExitCode}}';
    const sidecar = name('opencode');
    await eventually(
      'the sidecar to give up',
      async () => (await docker('inspect', '--format', state, sidecar)) === 'false 2',
    );
    const sentence = /^enter: OpenCode needs glibc, and this image has none .* Choose an image made from Debian/;
    expect(await logs('opencode')).toMatch(sentence);
    expect(await agent().run('/tools/enter', '/tools/opencode')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(sentence),
    });
  });
});
