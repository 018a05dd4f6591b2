import { parseAuthority, type Authority } from './host-name.ts';

/** Above this a head is refused. */
export const mostHeadBytes = 16 * 1024;
const mostHeaders = 100;

export type Header = readonly [name: string, value: string];

/** How the body ends. */
export type Framing =
  { readonly kind: 'none' } | { readonly kind: 'length'; readonly bytes: number } | { readonly kind: 'chunked' };

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly Header[];
}

/** What may be passed on: where to, and the head in the form in which a server is asked directly. */
export interface PlainRequest {
  readonly authority: Authority;
  readonly head: string;
  readonly framing: Framing;
  readonly isUpgrade: boolean;
  readonly expectsContinue: boolean;
}

/** Why a head is not understood or not believed. */
export class HeadFault extends Error {
  readonly why: 'malformed' | 'host_mismatch' | 'address';
  /** What it asked for, as far as that is known. */
  readonly asked: string;
  constructor(why: HeadFault['why'], message: string, asked = '') {
    super(message);
    this.why = why;
    this.asked = asked;
  }
}

/** Where a head ends, with its empty line; null while it has not. */
export function endOfHead(seen: Buffer): number | null {
  const at = seen.indexOf('\r\n\r\n');
  return at < 0 ? null : at + 4;
}

/**
 * Reads a head as strictly as RFC 9112 allows: where two readers could understand two things, it is refused.
 *
 * No bare CR or LF, no folded line, no space before a colon, one Host, one way to find the end of the body.
 */
export function parseHead(bytes: Buffer): RequestHead {
  const text = bytes.subarray(0, -4).toString('latin1');
  const [first = '', ...lines] = text.split('\r\n');
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text.replaceAll('\r\n', '')))
    throw malformed('It holds a control character.');
  const [, method = '', target = ''] = /^([A-Z]{1,20}) (\S{1,8000}) HTTP\/1\.[01]$/.exec(first) ?? [];
  if (method === '') throw malformed('Its first line is no request of HTTP/1.1.');
  if (lines.length > mostHeaders) throw malformed('It has too many headers.');
  const headers = lines.map((line): Header => {
    const [, name = '', value = ''] = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === '') throw malformed('One of its headers is none.');
    return [name.toLowerCase(), value];
  });
  return { method, target, headers };
}

const malformed = (message: string): HeadFault => new HeadFault('malformed', message);

/** The authority of a CONNECT. */
export function connectAuthority({ target, headers }: RequestHead): Authority {
  const authority = parseAuthority(target, null);
  if (authority === null) throw new HeadFault('address', 'Name a host and a port; addresses are not reached.', target);
  const host = valuesOf(headers, 'host');
  if (host.length > 1 || host.some((one) => !isSame(parseAuthority(one, authority.port), authority)))
    throw new HeadFault('host_mismatch', 'The header Host names another place.', target);
  if (bodyOf(headers).kind !== 'none') throw malformed('CONNECT has no body.');
  return authority;
}

/**
 * A request that goes on in plain HTTP. Inside a tunnel it names a path, and Host the `tunnel`'s end; outside it names
 * an absolute `http://` address, and Host the same.
 */
export function plainRequest(request: RequestHead, tunnel: Authority | null): PlainRequest {
  const { method, headers } = request;
  const { authority, path } = tunnel === null ? absolute(request.target) : { authority: tunnel, path: request.target };
  if (!path.startsWith('/') || path.includes('#')) throw malformed('It asks for no path.');
  const asked = `${authority.host}:${String(authority.port)}`;
  const hosts = valuesOf(headers, 'host');
  const [host] = hosts;
  if (hosts.length !== 1 || host === undefined || !isSame(parseAuthority(host, 80), authority))
    throw new HeadFault('host_mismatch', 'Address and header Host name two places.', asked);
  const framing = bodyOf(headers);
  const isUpgrade =
    valuesOf(headers, 'upgrade').some((one) => one.toLowerCase() === 'websocket') && framing.kind === 'none';
  const dropped = new Set([
    ...hopByHop,
    ...valuesOf(headers, 'connection').flatMap((one) => one.toLowerCase().split(/\s*,\s*/)),
  ]);
  const kept = headers.filter(
    ([name]) => !name.startsWith('proxy-') && (!dropped.has(name) || framingHeaders.has(name)),
  );
  const lines = [
    ...[`${method} ${path} HTTP/1.1`, `host: ${authority.port === 80 ? authority.host : asked}`],
    ...kept.filter(([name]) => name !== 'host').map(([name, value]) => `${name}: ${value}`),
    ...(isUpgrade ? ['connection: upgrade', 'upgrade: websocket'] : ['connection: close']),
  ];
  const expectsContinue = valuesOf(headers, 'expect').length > 0;
  return { authority, head: `${lines.join('\r\n')}\r\n\r\n`, framing, isUpgrade, expectsContinue };
}

/** Belong to one connection. */
const hopByHop = ['connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'expect', 'host', 'http2-settings'];
/** Never dropped, whatever Connection says: without them the body would be read as a request. */
const framingHeaders = new Set(['content-length', 'transfer-encoding']);

function absolute(target: string): { authority: Authority; path: string } {
  const [, written = '', path = '/'] = /^http:\/\/([^/?#\\]*)(\/[^#]*)?$/.exec(target) ?? [];
  if (written === '')
    throw new HeadFault('malformed', 'A proxy is asked for an address that begins with http://.', target);
  const authority = parseAuthority(written, 80);
  if (authority === null) throw new HeadFault('address', 'Name a host; addresses are not reached.', written);
  return { authority, path };
}

function bodyOf(headers: readonly Header[]): Framing {
  const lengths = valuesOf(headers, 'content-length');
  const codings = valuesOf(headers, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw malformed('It says twice where its body ends.');
  const [length] = lengths;
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) throw malformed('Its length is no number.');
    return Number(length) === 0 ? { kind: 'none' } : { kind: 'length', bytes: Number(length) };
  }
  const [coding] = codings;
  if (coding === undefined) return { kind: 'none' };
  if (coding.toLowerCase() !== 'chunked') throw malformed('Its body is coded in another way than chunked.');
  return { kind: 'chunked' };
}

const valuesOf = (headers: readonly Header[], name: string): string[] =>
  headers.filter((one) => one[0] === name).map((one) => one[1]);

const isSame = (one: Authority | null, other: Authority): boolean =>
  one !== null && one.host === other.host && one.port === other.port;
