import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { names } from '../../modules/contract.ts';
import { docker } from '../support/terraform/planned-docker.ts';
import { removeImages, withDockerAtLength } from './images.ts';
import { openRoom, type Room } from './room.ts';

const minutes = 60_000;
// The first test also builds the images.
jest.setTimeout(15 * minutes);

/** The network of a real workspace: what its containers reach, and what the host answers in it. */
withDockerAtLength('a workspace of the docker template and its list', () => {
  let room: Room;
  beforeAll(async () => {
    room = await openRoom();
    await room.start();
    await room.connected();
  });
  afterAll(async () => {
    await (room as Room | undefined)?.end();
    removeImages();
  });

  const agent = async (command: string): Promise<string> => {
    const { stdout, stderr } = await room.sh(names.containers.sidecar, command);
    return stdout + stderr;
  };
  const unreached = /Failed to connect|Couldn't connect|unreachable|Could not connect|timed out/;
  const withProxy = 'http_proxy=http://egress:3128 https_proxy=http://egress:3128';

  it('clones, connects and finishes a task through the proxy (part of D23)', async () => {
    const { outcome, reason } = await room.task('say hello');

    expect([outcome, reason]).toEqual(['no_change', null]);
  });

  it('has no way past the proxy: no host outside, not this one, no name server (part of D23)', async () => {
    const service = new URL(room.outrigger.url);
    const direct = `curl -sS --noproxy '*' --max-time 3`;

    expect(await agent(`${direct} http://${service.host}/healthz`)).toMatch(unreached);
    expect(await agent(`${direct} http://198.51.100.1/`)).toMatch(unreached);
    // The first address of the network would be the host's.
    const subnet = await docker(
      'network',
      'inspect',
      '--format',
      '{{(index .IPAM.Config 0).Gateway}}',
      `coder-${room.workspaceId}`,
    );
    expect(
      await agent(`${direct} http://${subnet === '' ? '192.0.2.1' : subnet}:${service.port}/healthz`),
    ).not.toContain('ok');
    expect(await agent('timeout 20 getent hosts example.com || echo nothing')).toBe('nothing\n');
  });

  it('is told no by name, and yes for the service', async () => {
    expect(await agent(`${withProxy} curl -sS http://blocked.example/`)).toContain(
      'blocked.example:80 is not on the list',
    );
    expect(await agent(`${withProxy} curl -sS http://198.51.100.1/`)).toContain('Only names are on the list');
    expect(await agent(`${withProxy} curl -s -o /tmp/x -w '%{http_code}' "$OUTRIGGER_URL/healthz"`)).toBe('200');
  });

  it('cannot change the proxy: another process, another network namespace, nothing to write', async () => {
    expect(await agent("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).not.toContain('egress.js');
    expect(
      await docker(
        'exec',
        room.name(names.containers.egress),
        'sh',
        '-c',
        'touch /tools/x /x 2>&1; grep CapEff /proc/self/status',
      ),
    ).toMatch(/Read-only file system[\s\S]*CapEff:\s+0{16}/);
    expect(
      await docker('inspect', '--format', '{{len .NetworkSettings.Networks}}', room.name(names.containers.egress)),
    ).toBe('2');
  });
});
