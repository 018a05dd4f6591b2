import { lookup } from 'node:dns/promises';
import { createServer, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isLoopbackUrl } from '../../service/config-settings.ts';
import { CommandFailure } from '../command-failure.ts';

/** Which addresses this machine has. */
export interface Machine {
  /** Those of interfaces that are up. */
  readonly addresses: readonly string[];
  /** Whether an IP address is this machine's, also on an interface that is down. */
  readonly has: (address: string) => Promise<boolean>;
}

/** Where Outrigger is, as workspaces and people reach it. */
export interface Address {
  readonly url: string;
  /** `host:port` to listen on when the service is started here; null: it runs elsewhere, or behind a proxy. */
  readonly listen: string | null;
}

export interface AddressParts {
  readonly coderUrl: string;
  /** Coder, and so the workspaces, are on this machine. */
  readonly isCoderHere: boolean;
  /** What `--url` or OUTRIGGER_URL says. */
  readonly given: string | undefined;
  readonly port: number;
  readonly isInsecureAllowed: boolean;
  readonly machine: Machine;
  /** Of Docker's bridge network on this machine; asked only when Coder is here. Null: it has none. */
  readonly gateway: () => Promise<string | null>;
  /** Undefined where nobody is there to be asked. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly say: (line: string) => void;
}

/**
 * This machine.
 *
 * Trap  Docker's bridge is down while no container runs, and an interface that is down is not listed. Its address can be
 *       listened on all the same, which is what we want it for.
 */
export const thisMachine = (canListen: (host: string) => Promise<boolean> = listens): Machine => {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return {
    addresses,
    has: async (address) => addresses.includes(address) || (await isProof(canListen, address)),
  };
};

/** Of documentation alone, so nobody's. Sources: RFC 5737, RFC 3849 */
const nobodys: Readonly<Record<number, string>> = { 4: '192.0.2.1', 6: '2001:db8::1' };

/** Where the kernel lets anybody listen at addresses of others (`ip_nonlocal_bind`, as beside keepalived), it proves nothing. */
async function isProof(canListen: (host: string) => Promise<boolean>, address: string): Promise<boolean> {
  const other = nobodys[isIP(address)];
  return other !== undefined && (await canListen(address)) && !(await canListen(other));
}

const listens = (host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port: 0 }, () => server.close(() => resolve(true)));
  });

/** Whether a URL's host is this machine; false also where its name is not known. */
export async function isThisMachine(url: string, machine: Machine): Promise<boolean> {
  if (isLoopbackUrl(url)) return true;
  const found = await lookup(hostOf(url), { all: true }).catch(() => []);
  for (const { address } of found) if (await machine.has(address)) return true;
  return false;
}

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

/**
 * Chooses `outrigger_url`: what was given, else Docker's bridge where Coder is on this machine, else what a person says.
 *
 * Errors  `CommandFailure` 2 where a workspace could not reach it, or nobody said.
 */
export async function chooseAddress(parts: AddressParts): Promise<Address> {
  const { given, isCoderHere, ask, coderUrl } = parts;
  if (given !== undefined) return await judge(given, parts);
  if (isCoderHere) return await atBridge(parts);
  const example = `http://${parts.machine.addresses.find((one) => /^\d/.test(one) && !one.startsWith('127.')) ?? 'this-machine.example.com'}:${parts.port}`;
  if (ask === undefined)
    throw new CommandFailure(
      2,
      `Coder is at ${coderUrl}, so workspaces run elsewhere, and nobody said how they reach this machine. Add --url, such as --url ${example}, or set OUTRIGGER_URL.`,
    );
  const said = await ask(
    `Workspaces run where Coder (${coderUrl}) runs them. How do they reach this machine? [${example}] `,
  );
  return await judge(said.trim() || example, parts);
}

async function judge(text: string, parts: AddressParts): Promise<Address> {
  const url = text.replace(/\/+$/, '');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol) || new URL(url).username !== '')
    throw new CommandFailure(
      2,
      'The address of Outrigger is an http:// or https:// URL, such as https://outrigger.example.com.',
    );
  if (isLoopbackUrl(url)) {
    if (parts.isCoderHere) {
      parts.say(`in a workspace ${url} is the workspace itself, so Docker's bridge is taken instead`);
      return await atBridge({ ...parts, port: Number(new URL(url).port) || parts.port });
    }
    throw new CommandFailure(
      2,
      `In a workspace ${url} is the workspace itself. Give an address of this machine that ${parts.coderUrl} and its workspaces reach: --url http://this-machine.example.com:${parts.port}.`,
    );
  }
  const isHere = await isThisMachine(url, parts.machine);
  if (url.startsWith('http:') && !parts.isInsecureAllowed && !(isHere && parts.isCoderHere))
    throw new CommandFailure(
      2,
      `${url} would carry tokens in the clear. Use https, or set ALLOW_INSECURE_HTTP=true in a network you trust.`,
    );
  const { port } = new URL(url);
  return { url, listen: isHere && url.startsWith('http:') ? `${hostInListen(url)}:${port || '80'}` : null };
}

const hostInListen = (url: string): string => new URL(url).hostname;

async function atBridge({ gateway, machine, port }: AddressParts): Promise<Address> {
  const host = await gateway();
  if (host !== null && (await machine.has(host))) return { url: `http://${host}:${port}`, listen: `${host}:${port}` };
  throw new CommandFailure(
    2,
    `Docker's bridge network has no address on this machine (as with Docker Desktop and rootless Docker), so no address is sure to reach it from a workspace. Add --url with one that does, such as --url http://this-machine.example.com:${port}.`,
  );
}
