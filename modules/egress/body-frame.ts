import type { Framing } from './request-head.ts';

/** Passes on the bytes of one body and nothing behind it. */
export interface BodyFrame {
  /** What of this piece belongs to the body. Throws where the body breaks its own rules. */
  feed(piece: Buffer): Buffer;
  isDone(): boolean;
}

export function makeBodyFrame(framing: Framing): BodyFrame {
  return framing.kind === 'chunked' ? chunkedFrame() : lengthFrame(framing.kind === 'length' ? framing.bytes : 0);
}

function lengthFrame(bytes: number): BodyFrame {
  let left = bytes;
  return {
    feed(piece) {
      const own = piece.subarray(0, left);
      left -= own.length;
      return own;
    },
    isDone: () => left === 0,
  };
}

const mostLineBytes = 64;
type ChunkState = 'size' | 'data' | 'end' | 'last' | 'done';

/**
 * Chunks are read and written anew, so that both sides count the same: a size of hexadecimal digits only, no extension,
 * no trailer. Source: RFC 9112 §7.1.
 */
function chunkedFrame(): BodyFrame {
  let held = Buffer.alloc(0);
  let left = 0;
  let state = 'size' as ChunkState;
  const line = (): string | null => {
    const at = held.indexOf('\r\n');
    if (at < 0 && held.length > mostLineBytes) throw new Error('A chunk has no size.');
    if (at < 0) return null;
    const text = held.subarray(0, at).toString('latin1');
    held = held.subarray(at + 2);
    return text;
  };
  const steps: Readonly<Record<ChunkState, () => Buffer | null>> = {
    size() {
      const text = line();
      if (text === null) return null;
      if (!/^[0-9a-fA-F]{1,8}$/.test(text)) throw new Error('A chunk has a size that is none.');
      left = Number.parseInt(text, 16);
      state = left === 0 ? 'last' : 'data';
      return left === 0 ? Buffer.alloc(0) : Buffer.from(`${left.toString(16)}\r\n`);
    },
    data() {
      if (held.length === 0) return null;
      const own = held.subarray(0, left);
      held = held.subarray(own.length);
      left -= own.length;
      if (left === 0) state = 'end';
      return own;
    },
    end() {
      const text = line();
      if (text === null) return null;
      if (text !== '') throw new Error('A chunk is longer than it says.');
      state = 'size';
      return Buffer.from('\r\n');
    },
    last() {
      const text = line();
      if (text === null) return null;
      if (text !== '') throw new Error('The body has a trailer.');
      state = 'done';
      return Buffer.from('0\r\n\r\n');
    },
    done: () => null,
  };
  return {
    feed(piece) {
      held = Buffer.concat([held, piece]);
      const out: Buffer[] = [];
      for (let made = steps[state](); made !== null; made = steps[state]()) out.push(made);
      return Buffer.concat(out);
    },
    isDone: () => state === 'done',
  };
}
