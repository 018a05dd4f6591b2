import { createHash } from 'node:crypto';

/**
 * Bytes that say exactly which fields they hold, for hashing and signing.
 *
 * Shape   each field is its length in UTF-8 bytes (4 bytes, big-endian) and those bytes; null is the length
 *         0xFFFFFFFF and no bytes. So no two lists of fields give the same bytes, whatever the fields contain.
 */
export function frame(fields: readonly (string | Buffer | null)[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4);
      if (field === null) return [length.fill(0xff)];
      const bytes = typeof field === 'string' ? Buffer.from(field, 'utf8') : field;
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

export const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
