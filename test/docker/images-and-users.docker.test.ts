import { afterAll, afterEach, expect, it, jest } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { docker } from '../support/terraform/planned-docker.ts';
import { bareImage, removeImages, withDockerAtLength, workspaceImages } from './images.ts';
import { openRoom, type Room } from './room.ts';

const minutes = 60_000;
jest.setTimeout(5 * minutes);

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

  it('runs on Debian with nothing added: OpenCode and the bridge need no part of the image (part of O-02)', async () => {
    room = await openRoom({ executor: bareImage, choices: { git_repository: '' } });
    await room.start();
    await room.connected();

    expect(await room.sh('opencode', 'command -v node git curl')).toMatchObject({ stdout: '' });
    expect(await room.agent().run('opencode', '--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it('says in one sentence that an image without glibc cannot run OpenCode (part of O-02)', async () => {
    // Busybox alone: what Alpine lacks, it lacks too.
    const { opencode } = workspaceImages();
    room = await openRoom({ executor: opencode, choices: { git_repository: '' } });
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
