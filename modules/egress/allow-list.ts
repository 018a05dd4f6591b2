import { plainName, type Authority } from './host-name.ts';

/** What may be reached: a name, or with `isBelow` every name below it, on these ports. */
export interface Entry {
  readonly name: string;
  readonly isBelow: boolean;
  readonly ports: readonly number[];
  /** The admin named this place as part of the installation, so it may have an address of a private network. */
  readonly isOurs: boolean;
}

/** What an entry without a port means. */
const webPorts = [80, 443];

/**
 * Reads `example.com`, `*.example.com`, either with `:port`. Null for anything else.
 *
 * `*.example.com` is not `example.com` itself, and a `*` stands nowhere else.
 */
export function parseEntry(text: string): Entry | null {
  const [, star, written = '', digits] = /^(\*\.)?([^:*]+)(?::([1-9]\d{0,4}))?$/.exec(text.trim()) ?? [];
  const name = plainName(written);
  if (name === null || Number(digits ?? 0) > 65_535) return null;
  return {
    name,
    isBelow: star !== undefined,
    ports: digits === undefined ? webPorts : [Number(digits)],
    isOurs: false,
  };
}

/** The entry for a place of the installation, from its address: that host, that port and no other. */
export function entryOfUrl(text: string): Entry | null {
  if (!URL.canParse(text)) return null;
  const { hostname, port, protocol } = new URL(text);
  const name = plainName(hostname);
  const usual = protocol === 'https:' ? 443 : protocol === 'http:' ? 80 : null;
  if (name === null || usual === null) return null;
  return { name, isBelow: false, ports: [port === '' ? usual : Number(port)], isOurs: true };
}

/** The entry that lets somebody reach this, preferring one of the installation; null: nobody does. */
export function findEntry(entries: readonly Entry[], { host, port }: Authority): Entry | null {
  const found = entries.filter(
    (one) => one.ports.includes(port) && (one.isBelow ? host.endsWith(`.${one.name}`) : host === one.name),
  );
  return found.find(({ isOurs }) => isOurs) ?? found[0] ?? null;
}
