import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { layerOn, removeImages, withDockerAtLength, workspaceImages } from './images.ts';
import { openRoom, type Room } from './room.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);

withDockerAtLength('a workspace whose executor image sets the names of git', () => {
  let room: Room;
  beforeAll(async () => {
    room = await openRoom({
      executor: layerOn(workspaceImages().executor, 'git-names', 'test/docker/git-names.Dockerfile'),
      files: { 'packages/api/README.md': 'An API.\n' },
    });
    room.choose({
      advanced: 'true',
      more_repositories: JSON.stringify([`${room.repository} name=again autoPush=false`]),
    });
    await room.start();
    await room.connected();
  });
  afterAll(async () => {
    await (room as Room | undefined)?.end();
    removeImages();
  });

  it('has its repositories where they say, a task works in the part they name, and the agent’s container knows what is not pushed (part of C-09 and C-10)', async () => {
    const inWorker = async (...command: string[]): Promise<string> => (await room.agent().run(...command)).stdout;

    const task = await room.task('SCENARIO:write ARG:made.txt|from the agent');

    expect(task).toMatchObject({ outcome: 'succeeded' });
    const made = `${task.evidence?.commit}:packages/api/made.txt`;
    expect(await inWorker('git', '-C', '/workspace/src/users', 'show', made)).toBe('from the agent');
    for (const link of ['/workspace/src/repo', '/workspace/users'])
      expect(await inWorker('readlink', link)).toBe('/workspace/src/users\n');
    expect(await inWorker('cat', '/workspace/src/repos/again/packages/api/README.md')).toBe('An API.\n');
    const list = [{ autoPush: false, branch: null, name: 'again', url: room.repository }];
    for (const container of ['worker', 'opencode']) {
      const { stdout } = await room.sh(container, 'printenv REPOS_JSON');
      expect(JSON.parse(stdout)).toEqual(list);
    }
  });
});
