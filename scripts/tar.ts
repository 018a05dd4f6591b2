import type { Tree } from './tree.ts';

const blockBytes = 512;
const pathBytes = 100;

/**
 * A ustar archive of these files, folders included; the same files give the same bytes.
 *
 * Errors  a `TypeError` for a path that Coder would skip or garble: not plain ASCII, over 100 characters, with `..` in it.
 * Source  pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (ustar interchange format)
 */
export function tarOf(files: Tree): Uint8Array<ArrayBuffer> {
  const folders = new Set([...files.keys()].flatMap(foldersOf));
  const parts = [
    ...[...folders].sort().map((path) => headerOf(path, 0, true)),
    ...[...files].flatMap(([path, text]) => {
      const body = Buffer.from(text);
      return [headerOf(path, body.length, false), body, Buffer.alloc(-body.length & (blockBytes - 1))];
    }),
    Buffer.alloc(2 * blockBytes),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * The regular files of a ustar archive, whoever made it: names without a leading `./`, in order of path.
 *
 * Bytes that are no archive have no files; a file that is cut off at the end is left out.
 */
export function readTar(archive: Uint8Array): Tree {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const files: [string, string][] = [];
  for (let at = 0; at + blockBytes <= bytes.length;) {
    const field = (start: number, length: number): string =>
      bytes.toString('latin1', at + start, at + start + length).replace(/\0.*$/s, '');
    const [name, size] = [field(0, pathBytes), Number.parseInt(field(124, 12), 8)];
    // GNU's own format keeps times where ustar keeps the front of a long path.
    const prefix = bytes.toString('latin1', at + 257, at + 263) === 'ustar\0' ? field(345, 155) : '';
    const end = at + blockBytes + size;
    if (name === '' || !(end <= bytes.length)) break;
    const path = `${prefix === '' ? '' : `${prefix}/`}${name}`.replace(/^\.\//, '');
    if (['', '0'].includes(field(156, 1))) files.push([path, bytes.toString('utf8', at + blockBytes, end)]);
    at = end + (-size & (blockBytes - 1));
  }
  return new Map(files.sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** `a/b/c.tf` lies in `a/` and `a/b/`. */
const foldersOf = (path: string): readonly string[] =>
  [...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index + 1));

/** Printable ASCII without the backslash, relative; Coder skips every name that holds `..`. */
const isPlain = (path: string): boolean =>
  /^[ -[\]-~]+$/.test(path) && path.length <= pathBytes && !path.startsWith('/') && !path.includes('..');

function headerOf(path: string, size: number, isFolder: boolean): Buffer {
  if (!isPlain(path))
    throw new TypeError(
      `The path ${JSON.stringify(path)} cannot be sent to Coder. Use at most 100 plain characters, without "..".`,
    );
  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;
  const header = Buffer.alloc(blockBytes);
  header.write(path, 0);
  header.write(octal(isFolder ? 0o755 : 0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(' '.repeat(8), 148);
  header.write(isFolder ? '5' : '0', 156);
  header.write('ustar\x0000', 257);
  // The sum is taken while its own field holds spaces.
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
