import { BlockList } from 'node:net';
import { CommandFailure } from '../command-failure.ts';
import { askEngine, pullMs, type EngineAnswer } from '../executor/engine.ts';
import { lastLine } from '../program.ts';

export type Docker = (...words: readonly string[]) => Promise<EngineAnswer>;

/** Docker's own command. Throws a `CommandFailure` 2 where no daemon answers it. */
export async function openDocker(signal: AbortSignal): Promise<Docker> {
  const docker: Docker = (...words) => askEngine('docker', words, { signal, timeoutMs: pullMs });
  const { code, stderr } = await docker('version', '--format', '{{.Server.Version}}');
  if (code === 0) return docker;
  throw new CommandFailure(
    2,
    `Docker does not answer: ${lastLine(stderr)}. Start it, and see that you may use it: \`docker version\`.`,
  );
}

/**
 * The address of this machine in Docker's default network; null where it has none.
 *
 * Trap  after a restart some daemons tell the network's subnet and no gateway.
 */
export async function bridgeAddress(docker: Docker, own: readonly string[]): Promise<string | null> {
  const { code, stdout } = await docker('network', 'inspect', 'bridge', '--format', '{{json .IPAM.Config}}');
  if (code !== 0) return null;
  const networks = (JSON.parse(stdout) ?? []) as readonly { readonly Subnet?: string; readonly Gateway?: string }[];
  for (const { Subnet, Gateway } of networks) {
    if (Gateway !== undefined && own.includes(Gateway)) return Gateway;
    const [network = '', prefix = ''] = (Subnet ?? '').split('/');
    if (!/^\d+(\.\d+){3}$/.test(network)) continue;
    const subnet = new BlockList();
    subnet.addSubnet(network, Number(prefix));
    const found = own.find((one) => /^\d+(\.\d+){3}$/.test(one) && subnet.check(one));
    if (found !== undefined) return found;
  }
  return null;
}
