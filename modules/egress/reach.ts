import { connect, type Socket } from 'node:net';
import type { AddressRule } from './addresses.ts';
import { findEntry, type Entry } from './allow-list.ts';
import type { Authority } from './host-name.ts';
import { Refusal } from './refusal.ts';

export interface ReachParts {
  /** What may be reached now. */
  readonly entries: () => readonly Entry[];
  readonly addresses: AddressRule;
  /** Every address of a name; asked only for names that are on the list, so that a name itself carries nothing out. */
  readonly resolve: (name: string) => Promise<readonly string[]>;
}

const connectMs = 10_000;

/**
 * Opens a connection to a place that the list allows. Throws a `Refusal` for any other.
 *
 * The address that was judged is the address that is dialled: nothing is resolved twice.
 */
export async function reach(parts: ReachParts, authority: Authority): Promise<Socket> {
  const entry = findEntry(parts.entries(), authority);
  if (entry === null) throw new Refusal('not_listed', authority);
  const found = await parts.resolve(authority.host).catch(() => []);
  if (found.length === 0) throw new Refusal('unknown_name', authority);
  // All of them: a name that also leads inside is not to be trusted with the choice.
  if (!found.every((address) => parts.addresses.mayReach(address, entry.isOurs)))
    throw new Refusal('private_address', authority);
  for (const address of found.slice(0, 4)) {
    const socket = await dial(address, authority.port);
    if (socket !== null) return socket;
  }
  throw new Refusal('unreachable', authority);
}

function dial(host: string, port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true });
    const timer = setTimeout(() => over(null), connectMs);
    const over = (answer: Socket | null): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      // A socket without this listener ends the process when it breaks.
      socket.on('error', () => undefined);
      if (answer === null) socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => over(socket));
    socket.once('error', () => over(null));
  });
}
