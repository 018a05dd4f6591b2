const headerBytes = 8;

/**
 * The text of a container's log without a terminal, at most its last `mostBytes` bytes, both streams in order.
 *
 * Source: Engine API 1.41, ContainerAttach, "Stream format": `[stream, 0, 0, 0, length as four bytes]` and as many bytes
 */
export function lastOfLog(bytes: Buffer, mostBytes: number): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + headerBytes <= bytes.length;) {
    const end = at + headerBytes + bytes.readUInt32BE(at + 4);
    pieces.push(bytes.subarray(at + headerBytes, end));
    at = end;
  }
  const all = Buffer.concat(pieces);
  return all
    .subarray(wholeFrom(all, Math.max(0, all.length - mostBytes)))
    .toString('utf8')
    .trimEnd();
}

/** The next byte that does not go on with a character. */
function wholeFrom(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && ((bytes[at] ?? 0) & 0xc0) === 0x80) at += 1;
  return at;
}
