/** What the first words of a TLS client ask for; `incomplete` until enough of them arrived. */
export type Hello =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly why: HelloFault }
  | { readonly kind: 'name'; readonly name: string };
export type HelloFault = 'not_tls' | 'no_sni' | 'hidden_sni';

/** Above this no client's hello lies; with post-quantum keys it is about 2 KB. */
export const mostHelloBytes = 16 * 1024;

const incomplete: Hello = { kind: 'incomplete' };
const bad = (why: HelloFault): Hello => ({ kind: 'bad', why });
const handshake = 22;
const clientHello = 1;
const serverName = 0;
/** The draft before ECH: the name is encrypted and no plain one is there. */
const esni = 0xffce;

/**
 * Reads the server name of a ClientHello, which may be cut into records and packets anywhere. Source: RFC 8446 §4.1.2,
 * §5.1 and RFC 6066 §3.
 *
 * An encrypted hello (ECH) still names its outer server, and only that server can open the inner one; so it needs no
 * rule of its own: the outer name is what is compared.
 */
export function readHello(seen: Buffer): Hello {
  const message = handshakeBytes(seen);
  if (!Buffer.isBuffer(message)) return message;
  if (message.length < 4) return incomplete;
  if (message[0] !== clientHello) return bad('not_tls');
  const length = message.readUIntBE(1, 3);
  if (length > mostHelloBytes) return bad('not_tls');
  if (message.length < 4 + length) return seen.length > mostHelloBytes ? bad('not_tls') : incomplete;
  try {
    return nameOf(message.subarray(4, 4 + length));
  } catch {
    return bad('not_tls');
  }
}

/** The payload of the handshake records that arrived, the last one perhaps in part, as far as the hello goes. */
function handshakeBytes(seen: Buffer): Buffer | Hello {
  const parts: Buffer[] = [];
  let at = 0;
  let had = 0;
  let whole = Number.POSITIVE_INFINITY;
  // A client that resumes sends other records right behind its hello (RFC 8446 §2.3).
  while (at < seen.length && had < whole) {
    if (seen[at] !== handshake || (at + 1 < seen.length && seen[at + 1] !== 3)) return bad('not_tls');
    if (at + 5 > seen.length) break;
    const length = seen.readUInt16BE(at + 3);
    if (length === 0 || length > mostHelloBytes) return bad('not_tls');
    const part = seen.subarray(at + 5, at + 5 + length);
    parts.push(part);
    had += part.length;
    if (had >= 4 && whole === Number.POSITIVE_INFINITY) whole = 4 + Buffer.concat(parts).readUIntBE(1, 3);
    at += 5 + length;
  }
  return Buffer.concat(parts);
}

function nameOf(body: Buffer): Hello {
  const reader = readerOf(body);
  reader.skip(2 + 32);
  reader.block(1);
  reader.block(2);
  reader.block(1);
  const extensions = readerOf(reader.block(2));
  const names: string[] = [];
  while (!extensions.isAtEnd()) {
    const type = extensions.number(2);
    const content = extensions.block(2);
    if (type === esni) return bad('hidden_sni');
    if (type === serverName) names.push(...hostNames(content));
  }
  const [name] = names;
  return names.length === 1 && name !== undefined ? { kind: 'name', name } : bad('no_sni');
}

function hostNames(content: Buffer): string[] {
  const list = readerOf(readerOf(content).block(2));
  const found: string[] = [];
  while (!list.isAtEnd()) {
    const type = list.number(1);
    const name = list.block(2).toString('latin1');
    found.push(type === 0 ? name : '');
  }
  return found;
}

/** Throws a RangeError behind the end. */
function readerOf(bytes: Buffer) {
  let at = 0;
  const skip = (count: number): number => {
    if (at + count > bytes.length) throw new RangeError('The hello ends early.');
    at += count;
    return at - count;
  };
  const number = (width: number): number => bytes.readUIntBE(skip(width), width);
  return {
    skip,
    number,
    block(width: number): Buffer {
      const length = number(width);
      const start = skip(length);
      return bytes.subarray(start, start + length);
    },
    isAtEnd: () => at === bytes.length,
  };
}
