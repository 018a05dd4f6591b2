import { crc32, createDeflateRaw } from 'node:zlib';
import { Readable } from 'node:stream';

/** One file of an archive. */
export interface ZipEntry {
  /** With `/` between folders, never absolute, no `..`. */
  readonly name: string;
  readonly at: Date;
  readonly data: Iterable<Buffer> | AsyncIterable<Buffer>;
}

interface Written {
  readonly name: Buffer;
  readonly stamp: number;
  readonly offset: number;
  readonly sum: number;
  readonly packed: number;
  readonly bytes: number;
}

/** Sizes and places are kept in 32 bits; archives of ours are far smaller. */
const largest = 0xffff_ffff;
const most = 0xffff;
/** Bit 3: sizes follow the data. Bit 11: names are UTF-8. */
const flags = 0x0808;
const deflated = 8;
const version = 20;
/** A plain file that everybody may read and its owner change. */
const attributes = (0o100_644 << 16) >>> 0;

/**
 * Yields a ZIP archive piece by piece; of an entry no more is in memory than what is being packed.
 *
 * Errors   throws above 4 GiB or 65,535 entries.
 * Source   APPNOTE.TXT 6.3, 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12 (central directory), 4.3.16 (its end).
 */
export async function* zip(entries: Iterable<ZipEntry> | AsyncIterable<ZipEntry>): AsyncGenerator<Buffer> {
  const written: Written[] = [];
  let offset = 0;
  for await (const entry of entries) {
    const name = Buffer.from(entry.name);
    const stamp = stampOf(entry.at);
    const header = localHeader(name, stamp);
    yield header;
    let [sum, bytes, packed] = [0, 0, 0];
    const deflate = createDeflateRaw();
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of entry.data) {
        sum = crc32(piece, sum);
        bytes += piece.length;
        yield piece;
      }
    };
    const source = Readable.from(counted());
    source.on('error', (error) => deflate.destroy(error));
    source.pipe(deflate);
    try {
      for await (const piece of deflate as AsyncIterable<Buffer>) {
        packed += piece.length;
        yield piece;
      }
    } finally {
      source.destroy();
    }
    mustFit(bytes, packed, offset);
    yield descriptor(sum, packed, bytes);
    written.push({ name, stamp, offset, sum, packed, bytes });
    offset += header.length + packed + descriptorBytes;
  }
  if (written.length > most) throw new Error('A ZIP archive of ours holds at most 65535 entries.');
  const directory = Buffer.concat(written.map(centralHeader));
  mustFit(directory.length, offset);
  yield directory;
  yield endOf(written.length, directory.length, offset);
}

function mustFit(...sizes: readonly number[]): void {
  if (sizes.some((size) => size > largest)) throw new Error('A ZIP archive of ours holds at most 4 GiB.');
}

/** A date of MS-DOS above its time: years from 1980, two seconds; UTC. */
function stampOf(at: Date): number {
  const year = Math.min(Math.max(at.getUTCFullYear(), 1980), 2107);
  const date = ((year - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate();
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  return ((date << 16) | time) >>> 0;
}

/** Numbers of 2 or 4 bytes, the smallest byte first. */
function packedNumbers(...fields: readonly (readonly [value: number, bytes: 2 | 4])[]): Buffer {
  const buffer = Buffer.alloc(fields.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of fields) at = buffer.writeUIntLE(value, at, bytes);
  return buffer;
}

const localHeader = (name: Buffer, stamp: number): Buffer =>
  Buffer.concat([
    packedNumbers(
      ...([
        [0x04034b50, 4],
        [version, 2],
        [flags, 2],
        [deflated, 2],
        [stamp, 4],
      ] as const),
      ...([
        [0, 4],
        [0, 4],
        [0, 4],
        [name.length, 2],
        [0, 2],
      ] as const),
    ),
    name,
  ]);

const descriptorBytes = 16;
const descriptor = (sum: number, packed: number, bytes: number): Buffer =>
  packedNumbers([0x08074b50, 4], [sum, 4], [packed, 4], [bytes, 4]);

const centralHeader = ({ name, stamp, sum, packed, bytes, offset }: Written): Buffer =>
  Buffer.concat([
    packedNumbers(
      // Made on Unix, whose modes the attributes hold.
      ...([
        [0x02014b50, 4],
        [(3 << 8) | version, 2],
        [version, 2],
        [flags, 2],
        [deflated, 2],
        [stamp, 4],
      ] as const),
      ...([
        [sum, 4],
        [packed, 4],
        [bytes, 4],
        [name.length, 2],
        [0, 2],
        [0, 2],
      ] as const),
      ...([
        [0, 2],
        [0, 2],
        [attributes, 4],
        [offset, 4],
      ] as const),
    ),
    name,
  ]);

const endOf = (count: number, bytes: number, offset: number): Buffer =>
  packedNumbers([0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [bytes, 4], [offset, 4], [0, 2]);
