import { networkInterfaces } from 'node:os';
import { egressEnvironment as names, egressModes, egressPort, type EgressMode } from '../contract.ts';
import { makeAddressRule, type AddressRule } from './addresses.ts';
import { entryOfUrl, parseEntry, type Entry } from './allow-list.ts';

export interface EgressSettings {
  readonly mode: Exclude<EgressMode, 'open'>;
  /** What the template says; the service may add to it in the mode `allowlist`. */
  readonly entries: readonly Entry[];
  /** What stands in the list and is no entry, such as the repository of an owner that lies at an address. */
  readonly unread: readonly string[];
  readonly addresses: AddressRule;
  readonly listen: { readonly host: string; readonly port: number };
  readonly service: {
    readonly url: string;
    readonly proof: string;
    readonly workspaceId: string;
    readonly agentId: string;
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws an Error that names the setting and what to give instead. */
export function readSettings(environment: Environment): EgressSettings {
  const read = (name: keyof typeof names): string => environment[names[name]] ?? '';
  const listed = (name: keyof typeof names): string[] =>
    read(name)
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '');
  const mode = egressModes.find((one) => one === read('mode'));
  if (mode === undefined || mode === 'open') throw new Error(`${names.mode} must be "allowlist" or "local-only".`);
  const ours = (['url', 'coderUrl'] as const).map((name) => {
    const entry = entryOfUrl(read(name));
    if (entry === null)
      throw new Error(`${names[name]} must be an address with a name, such as "https://coder.example.com".`);
    return entry;
  });
  const hosts = listed('hosts').map((text) => ({ text, entry: parseEntry(text) }));
  const entries = hosts.flatMap(({ entry }) => entry ?? []);
  return {
    mode,
    entries: mode === 'local-only' ? ours : [...ours, ...entries],
    unread: hosts.filter(({ entry }) => entry === null).map(({ text }) => text),
    addresses: makeAddressRule(listed('privateRanges'), ownAddresses()),
    listen: listenOf(read('listen')),
    service: {
      url: read('url'),
      proof: read('proof'),
      workspaceId: read('workspaceId'),
      agentId: read('workspaceAgentId'),
    },
  };
}

function listenOf(text: string): EgressSettings['listen'] {
  const [, host = '0.0.0.0', port = String(egressPort)] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  return { host, port: Number(port) };
}

const ownAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address.replace(/%.*$/, '')));
