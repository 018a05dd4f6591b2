/**
 * A host as the list writes it: lower case, without a final dot. Null for whatever is no plain name.
 *
 * An address in any spelling is none (`127.1`, `0x7f.1`, `2130706433`, `[::1]`: a name whose last part is a number is
 * an address, as in the URL standard), nor is anything with user information, an escape, or a letter outside ASCII: the
 * list names such hosts by their punycode.
 */
export function plainName(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (
    name.length > 253 ||
    !/^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(name)
  )
    return null;
  return /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(name) ? null : name;
}

export interface Authority {
  readonly host: string;
  readonly port: number;
}

/** `host` or `host:port`; null for anything else, addresses included. */
export function parseAuthority(text: string, defaultPort: number | null): Authority | null {
  const [, written = '', digits] = /^([^:]+)(?::([1-9]\d{0,4}))?$/.exec(text) ?? [];
  const host = plainName(written);
  const port = digits === undefined ? defaultPort : Number(digits);
  return host === null || port === null || port > 65_535 ? null : { host, port };
}
