import { BlockList, isIP, isIPv4 } from 'node:net';

type Ranges = readonly string[];

/** This machine, its link and the clouds' metadata: nobody gets there, whatever a list says. */
const never: Ranges = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '100.100.100.200/32', '168.63.129.16/32'],
  ...['::/127', 'fe80::/10', 'ff00::/8', 'fd00:ec2::/32'],
];
/** Private networks: only what belongs to the installation, and the ranges that the admin names. */
const inside: Ranges = [
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '192.0.0.0/24', '198.18.0.0/15'],
  ...['fc00::/7', 'fec0::/10'],
];
/** IPv6 that carries an IPv4 address somewhere else (mapped, translated, 6to4, Teredo): refused as a whole. */
const carriers: Ranges = ['::ffff:0:0/96', '::/96', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32'];

export interface AddressRule {
  /** Whether a connection may go to this address; `isOurs` lets it be one of any private network. */
  mayReach(address: string, isOurs: boolean): boolean;
}

/** Throws for a range it cannot read. `own` are the addresses of this machine. */
export function makeAddressRule(privateRanges: Ranges, own: Ranges): AddressRule {
  const isNever = listOf([...never, ...own.map((one) => `${one}/${isIPv4(one) ? '32' : '128'}`)]);
  const isCarrier = listOf(carriers);
  const isInside = listOf(inside);
  const isNamed = listOf(privateRanges);
  return {
    mayReach(address, isOurs) {
      const isPlain = isIP(address) !== 0 && !isNever(address) && (isIPv4(address) || !isCarrier(address));
      return isPlain && (isOurs || !isInside(address) || isNamed(address));
    },
  };
}

function listOf(ranges: Ranges): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [, address = '', bits = ''] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(range) ?? [];
    if (isIP(address) === 0) throw new Error(`${JSON.stringify(range)} is no range. Give one such as "10.0.0.0/8".`);
    list.addSubnet(address, Number(bits), familyOf(address));
  }
  // Node counts an IPv4 address as part of its mapped IPv6 range, so each family is asked by itself.
  return (address) => list.check(address, familyOf(address));
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv4(address) ? 'ipv4' : 'ipv6');
