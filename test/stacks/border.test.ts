import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import type { RegisterResponse } from '../../modules/contract.ts';
import { eventually } from '../support/clock.ts';
import { connectFakeBridge, goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService } from '../support/service.ts';
import { synthesize } from '../support/terraform/deployable.ts';

/** Every volume that a container or pod of a stack mounts, as the stack names its source. */
async function mountsOf(stack: string): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-border-'));
  try {
    const { code, stderr } = await synthesize(directory, { OUTRIGGER_STACKS: stack });
    if (code !== 0) throw new Error(stderr);
    const path = join(directory, 'cdktf.out', 'stacks', stack, 'cdk.tf.json');
    return sourcesIn((JSON.parse(readFileSync(path, 'utf8')) as { resource: unknown }).resource);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Sources of `mounts` (Docker) and of a pod's `volume`, wherever they stand; a folder that is empty at first has none. */
function sourcesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(sourcesIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) => {
    if (name === 'mounts') return (one as { source: string }[]).map(({ source }) => source);
    if (name === 'volume' && Array.isArray(one)) return one.flatMap(sourceOf);
    if (name === 'volumes') return [JSON.stringify(one)];
    return sourcesIn(one);
  });
}

function sourceOf(volume: Record<string, unknown>): string[] {
  const { name: _name, empty_dir: _empty, secret, ...others } = volume;
  const secretName = (secret as { secret_name: string } | undefined)?.secret_name;
  return [...(secretName === undefined ? [] : [secretName]), ...Object.keys(others)];
}

it('S-20 the service mounts no volume of a user, and dials no workspace, also where one asks for it', async () => {
  const [docker, kubernetes] = [await mountsOf('docker-service'), await mountsOf('kubernetes-service')];

  expect(new Set(docker)).toEqual(new Set(['${docker_volume.data.name}', '${docker_volume.secrets.name}']));
  expect(new Set(kubernetes)).toEqual(new Set(['${kubernetes_secret_v1.service.metadata[0].name}']));

  const workspace = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => workspace.listen(0, '127.0.0.1', resolve));
  const { port } = workspace.address() as AddressInfo;
  const dialed = new Set<number>();
  const connect = Socket.prototype.connect;
  Socket.prototype.connect = function (this: Socket, ...given: unknown[]) {
    const [first] = given.flat() as [{ port?: number | string } | number];
    dialed.add(Number(typeof first === 'object' ? first.port : first));
    return (connect as (...words: unknown[]) => Socket).apply(this, given);
  };
  const outrigger = await startTestService();
  try {
    const { ada } = outrigger.people;
    const registered = await fetch(`${outrigger.url}/api/v2/agents/opencode/register`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${await outrigger.proof()}` },
      body: JSON.stringify({
        workspace_id: outrigger.workspace.id,
        agent_id: outrigger.workspace.agentId,
        version: '0.0.0-test',
        protocol_version: 1,
        capabilities: [],
        endpoint: `http://127.0.0.1:${port}`,
      }),
    });
    const { bridge_token: token } = (await registered.json()) as RegisterResponse;
    const bridge = await connectFakeBridge(outrigger.url, token);
    const { body } = await outrigger.call(ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Do it', context: { workspace_id: 'ws-123' } },
    });
    await bridge.request('result', { ...(await takeLease(bridge)), evidence: goodEvidence() });
    await eventually(
      'the end',
      async () => (await outrigger.call(ada, 'GET', `/api/v2/agents/tasks/${body.id}`)).body.state === 'finished',
    );
    bridge.close();
  } finally {
    await outrigger.stop();
    Socket.prototype.connect = connect;
    workspace.close();
  }

  const known = [outrigger.url, outrigger.coder.url, outrigger.model.url, outrigger.database.url];
  const ports = known.map((url) => Number(new URL(url).port || '5432'));
  // What is watched is really dialed: Coder, and the database.
  expect(dialed).toContain(ports[1]);
  expect(dialed).toContain(ports[3]);
  expect([...dialed].filter((one) => !ports.includes(one))).toEqual([]);
  const ways = outrigger.coder.calls.map(({ path }) => path.split('?')[0] ?? '');
  expect(
    ways.filter((path) => !path.startsWith('/api/v2/') || /workspaceagents|\/pty|\/coordinate/.test(path)),
  ).toEqual([]);
});
