/** A commit stays far below this; a delta can claim any size. */
const largestResult = 1024 * 1024;

/**
 * Builds a text from another and its difference: pieces of the other, and new pieces between them.
 *
 * Errors   throws when the difference does not fit its base or its own sizes.
 * Source   gitformat-pack(5), "Deltified representation"
 */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  let at = 0;
  const byte = (): number => {
    const value = delta[at];
    if (value === undefined) throw new Error('The delta ends early.');
    at += 1;
    return value;
  };
  const size = (): number => {
    let value = 0;
    for (let scale = 1, more = true; more; scale *= 128) {
      const current = byte();
      value += (current & 0x7f) * scale;
      more = (current & 0x80) !== 0;
    }
    return value;
  };
  /** The bytes of a number of which only some are written: those whose bit is set in `mask`. */
  const sparse = (mask: number, bytes: number): number => {
    let value = 0;
    for (let index = 0; index < bytes; index += 1) if (mask & (1 << index)) value += byte() * 256 ** index;
    return value;
  };

  const expected = { base: size(), result: size() };
  if (expected.base !== base.length || expected.result > largestResult) throw new Error('The delta has another base.');
  const pieces: Buffer[] = [];
  let length = 0;
  while (at < delta.length && length <= expected.result) {
    const command = byte();
    const piece = command & 0x80 ? copied() : delta.subarray(at, (at += command));
    if (piece.length === 0) throw new Error('The delta has an empty piece.');
    pieces.push(piece);
    length += piece.length;

    function copied(): Buffer {
      const from = sparse(command & 0x0f, 4);
      const count = sparse((command >> 4) & 0x07, 3) || 0x10000;
      if (from + count > base.length) throw new Error('The delta goes beyond its base.');
      return base.subarray(from, from + count);
    }
  }
  if (length !== expected.result) throw new Error('The delta has another size.');
  return Buffer.concat(pieces);
}
