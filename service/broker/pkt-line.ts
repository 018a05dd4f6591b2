/** One piece of git's wire format: a line of bytes, or `flush`, which ends a section. */
export type Packet = Buffer | 'flush';

/** Longest packet that git sends, its four length digits included. Source: gitprotocol-common(5). */
export const longestPacket = 65_520;

export class MalformedPacket extends Error {}

/**
 * The first packet in `bytes` and how many bytes it took; null when it is not all there yet.
 *
 * Errors   `MalformedPacket` for a length that is none. The delimiters of protocol 2 count as malformed: no section
 *          that is read here has them.
 */
export function readPacket(bytes: Buffer, at: number): { readonly packet: Packet; readonly end: number } | null {
  if (bytes.length < at + 4) return null;
  const digits = bytes.toString('latin1', at, at + 4);
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new MalformedPacket('a packet begins without its length');
  const length = Number.parseInt(digits, 16);
  if (length === 0) return { packet: 'flush', end: at + 4 };
  if (length < 4 || length > longestPacket) throw new MalformedPacket(`a packet cannot be ${length} bytes long`);
  if (bytes.length < at + length) return null;
  return { packet: bytes.subarray(at + 4, at + length), end: at + length };
}

/** Every packet of a whole text, up to where it stops being one. */
export function readPackets(bytes: Buffer): Packet[] {
  const packets: Packet[] = [];
  for (let at = 0; ;) {
    const next = readPacket(bytes, at);
    if (next === null) return packets;
    packets.push(next.packet);
    at = next.end;
  }
}

export const flush = Buffer.from('0000');

export function packet(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
}
