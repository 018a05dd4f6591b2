import { lookup } from 'node:dns';
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net';

/** Addresses of this machine and its link: no forge lives there, but metadata services and other doors do. */
const inside = new BlockList();
inside.addSubnet('0.0.0.0', 8, 'ipv4');
inside.addSubnet('127.0.0.0', 8, 'ipv4');
inside.addSubnet('169.254.0.0', 16, 'ipv4');
inside.addSubnet('224.0.0.0', 3, 'ipv4');
inside.addAddress('::', 'ipv6');
inside.addAddress('::1', 'ipv6');
inside.addSubnet('fe80::', 10, 'ipv6');
inside.addSubnet('ff00::', 8, 'ipv6');

/** Whether an IP address must not be dialled for a workspace. A name is not an address. */
export function isInside(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  if (isIPv4(mapped)) return inside.check(mapped, 'ipv4');
  return isIPv6(address) && (inside.check(address, 'ipv6') || /^::ffff:/i.test(address));
}

/** Resolves a name as usual and refuses it when any of its addresses is inside: a name can be pointed anywhere. */
export const lookupOutside: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    const addresses = Array.isArray(found) ? found : [];
    const [first] = addresses;
    const fault =
      error ??
      (first === undefined || addresses.some(({ address }) => isInside(address))
        ? Object.assign(new Error('The name leads to this machine or its link.'), { code: 'EINSIDE' })
        : null);
    if (fault !== null || first === undefined) return callback(fault, '', 0);
    if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};
