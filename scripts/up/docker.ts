import { BlockList, isIPv4 } from 'node:net';
import { CommandFailure } from '../command-failure.ts';
import { askEngine, pullMs, type EngineAnswer } from '../executor/engine.ts';
import { lastLine } from '../program.ts';
import type { Machine } from './address.ts';

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
 * Trap  after a restart some daemons tell the network's subnet and no gateway. Then it is an address of ours within, or
 *       the first one, which Docker gives the bridge unless it is told another.
 */
export async function bridgeAddress(docker: Docker, machine: Machine): Promise<string | null> {
  const { code, stdout } = await docker('network', 'inspect', 'bridge', '--format', '{{json .IPAM.Config}}');
  if (code !== 0) return null;
  const networks = (JSON.parse(stdout) ?? []) as readonly { readonly Subnet?: string; readonly Gateway?: string }[];
  for (const { Subnet, Gateway } of networks)
    for (const address of [...(Gateway === undefined ? [] : [Gateway]), ...within(Subnet ?? '', machine.addresses)])
      if (await machine.has(address)) return address;
  return null;
}

/** Of these addresses those in an IPv4 subnet such as `172.17.0.0/16`, then the first one that it has. */
function within(subnet: string, addresses: readonly string[]): readonly string[] {
  const [network = '', prefix = ''] = subnet.split('/');
  if (!isIPv4(network)) return [];
  const block = new BlockList();
  block.addSubnet(network, Number(prefix));
  const first = network.replace(/\d+$/, (last) => String(Number(last) + 1));
  return [...addresses.filter((one) => isIPv4(one) && block.check(one)), first];
}
