import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Networks that are somebody's own: loopback, private, link-local, unique local, and the shared space of overlays. */
const own = new BlockList();
own.addSubnet('127.0.0.0', 8, 'ipv4');
own.addSubnet('10.0.0.0', 8, 'ipv4');
own.addSubnet('172.16.0.0', 12, 'ipv4');
own.addSubnet('192.168.0.0', 16, 'ipv4');
own.addSubnet('100.64.0.0', 10, 'ipv4');
own.addAddress('::1', 'ipv6');
own.addSubnet('fc00::', 7, 'ipv6');
own.addSubnet('fe80::', 10, 'ipv6');

/** Whether an IP address belongs to a network of one's own. False for a name. */
export function isOwnAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  const family = isIP(mapped ?? bare);
  if (family === 0) return false;
  return own.check(mapped ?? bare, family === 6 ? 'ipv6' : 'ipv4');
}

/** Whether an upstream's address, as written, can be meant for a network of one's own; a name is judged when it is dialled. */
export function mayBeLocal(url: string): boolean {
  const { hostname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) return isOwnAddress(host);
  return !host.includes('.') || /\.(localhost|local|internal|lan|home\.arpa|svc|svc\.cluster\.local)$/.test(host);
}

export type Resolve = (host: string, done: (error: Error | null, addresses: readonly LookupAddress[]) => void) => void;

const systemResolve: Resolve = (host, done) =>
  dnsLookup(host, { all: true }, (error, addresses) => done(error, addresses ?? []));

/**
 * Resolves names for a client that may reach one's own networks only.
 *
 * Safety   a name of which any address lies outside is refused whole: what it meant when it was checked would not
 *          bind what it means when it is dialled.
 */
export const ownNetworksOnly =
  (resolve: Resolve = systemResolve): LookupFunction =>
  (host, options, done) => {
    resolve(host, (error, addresses) => {
      const first = addresses[0];
      if (error || first === undefined) return done(error ?? new Error(`${host} has no address`), '', 0);
      if (!addresses.every(({ address }) => isOwnAddress(address))) return done(outside(host), '', 0);
      if (options.all) return done(null, [...addresses]);
      return done(null, first.address, first.family);
    });
  };

export const outside = (host: string): Error =>
  Object.assign(new Error(`local-only: ${host} is outside the networks of this place, so it is not dialled`), {
    code: 'ERR_LOCAL_ONLY',
  });
