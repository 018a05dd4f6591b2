import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { docker } from '../support/terraform/planned-docker.ts';
import { removeImages, withDockerAtLength } from './images.ts';
import { openRoom, type Room } from './room.ts';
import { askpassPath, startSignIn, type SignIn } from './sign-in.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);
const canary = 'gho_canaryOfTheOwnersSignIn7f31c0';
/** As it would stand in a header that somebody kept. */
const encoded = Buffer.from(`oauth2:${canary}`).toString('base64');

withDockerAtLength('a private repository in a workspace of the docker template', () => {
  const asked: string[] = [];
  let room: Room;
  let signIn: SignIn;
  beforeAll(async () => {
    room = await openRoom({
      gitToken: canary,
      variables: { external_auth_id: 'primary-github' },
      externalAuth: (id) => {
        asked.push(id);
        return canary;
      },
      agentEnvironment: { GIT_ASKPASS: askpassPath },
    });
    signIn = await startSignIn(room.gateway, room.agentToken, canary);
  });
  afterAll(async () => {
    await (signIn as SignIn | undefined)?.close();
    await (room as Room | undefined)?.end();
    removeImages();
  });

  /** Everything there is of a container that could hold a secret: its settings, output, processes and files. */
  async function everythingOf(container: string): Promise<string> {
    const name = room.name(container);
    const places = '/workspace /home /run /tmp /var /etc /opt /tools /usr/local /root';
    const found = `grep -rlsaF -e ${canary} -e ${encoded} ${places} || true`;
    const processes = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'";
    // A command line holds what is looked for, so the search itself has to be left out.
    const own = (text: string): string => text.replaceAll(found, '');
    const files = await docker('exec', '--user', '0', name, 'sh', '-c', found);
    const running = await docker('exec', '--user', '0', name, 'sh', '-c', processes);
    return [
      await docker('inspect', name),
      await room.logs(container),
      own(running),
      files && `FOUND IN ${files}`,
    ].join();
  }

  it('P-03 is cloned with the owner’s sign-in in Coder, and its token is in no URL, environment, file or log', async () => {
    await room.startContainers();
    await signIn.install(room.name('worker'));
    // A helper that would keep the password for good.
    await room.agent().run('git', 'config', '--global', 'credential.helper', 'store');
    const ended = await room.agent().runScripts();
    await room.connected();

    expect(ended['Clone repository']).toMatchObject({ code: 0, stderr: '' });
    expect(asked).toContain('primary-github');
    expect(signIn.given()).toBeGreaterThan(0);
    expect(room.git.admitted()).toBeGreaterThan(0);
    expect(await room.agent().run('cat', '/workspace/users/README.md')).toMatchObject({
      stdout: expect.stringContaining('# Users'),
    });
    expect(await room.agent().run('cat', '/workspace/users/.git/config')).toMatchObject({
      stdout: expect.stringContaining(`url = ${room.repository}\n`),
    });
    const places = [
      JSON.stringify([room.planned(), ended]),
      (await room.agent().run('printenv')).stdout,
      await everythingOf('worker'),
      await everythingOf('opencode'),
      await room.logs('opencode-init'),
    ];
    for (const place of places) {
      expect(place).not.toContain('FOUND IN');
      expect(place.includes(canary) || place.includes(encoded)).toBe(false);
    }
  });
});
