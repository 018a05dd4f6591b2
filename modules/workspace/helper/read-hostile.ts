import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Far more than any file in the shared folder needs; also bounds how deep its JSON can nest. */
const maxBytes = 16 * 1024;

/** `absent`: there is no such file. `refused`: something is there, and it is not a small regular file of JSON. */
export type Hostile = { readonly kind: 'absent' | 'refused' } | { readonly kind: 'json'; readonly value: unknown };

/**
 * The JSON in a file that somebody else may have put there to hurt the reader.
 *
 * A link is not followed, a FIFO is not waited for, a device or directory is not read, and size is bounded twice,
 * because a file can grow after it was looked at.
 *
 * Errors   none.
 */
export function readHostile(file: string): Hostile {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return { kind: (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'refused' };
  }
  try {
    const facts = fstatSync(descriptor);
    if (!facts.isFile() || facts.size > maxBytes) return { kind: 'refused' };
    const text = readBounded(descriptor);
    return text === null ? { kind: 'refused' } : { kind: 'json', value: JSON.parse(text) };
  } catch {
    return { kind: 'refused' };
  } finally {
    closeSync(descriptor);
  }
}

function readBounded(descriptor: number): string | null {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(descriptor, buffer, length, buffer.length - length, length);
    if (count === 0) return buffer.toString('utf8', 0, length);
    length += count;
  }
  return null;
}
