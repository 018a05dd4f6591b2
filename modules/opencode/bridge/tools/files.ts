import { readSync, readdirSync } from 'node:fs';
import { toolLimits, type EncodedContent } from '../../../contract.ts';
import type { ToolCommands } from './tools.ts';
import { isFile, type Place } from './place.ts';

/** A frame is 1 MiB at most. */
const answerBytes = 900 * 1024;
const kibibytes = (bytes: number): string => `${bytes / 1024} KiB`;

/** The tools for files: they touch nothing outside of the place. */
export const makeFileTools = (place: Place): Pick<ToolCommands, 'readFile' | 'writeFile' | 'listFiles'> => ({
  readFile: ({ path }) => Promise.resolve(place.open(path, (descriptor) => contentOf(descriptor, path))),
  writeFile({ path, content, encoding }) {
    place.write(path, bytesOf(content, encoding));
    return Promise.resolve(undefined);
  },
  listFiles({ path = '.' }) {
    const entries = place.open(path, (descriptor) =>
      readdirSync(`/proc/self/fd/${descriptor}`, { withFileTypes: true }),
    );
    const listed = entries
      .map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }))
      .sort((one, other) => (one.name < other.name ? -1 : 1));
    if (listed.length > toolLimits.listEntries || Buffer.byteLength(JSON.stringify(listed)) > answerBytes)
      throw new Error(`${path} holds more than ${toolLimits.listEntries} entries. List a folder in it.`);
    return Promise.resolve(listed);
  },
});

function contentOf(descriptor: number, path: string): string | EncodedContent {
  if (!isFile(descriptor)) throw new Error(`${path} is no file.`);
  const buffer = Buffer.alloc(toolLimits.fileBytes + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = readSync(descriptor, buffer, length, buffer.length - length, null);
  if (length > toolLimits.fileBytes)
    throw new Error(`${path} is larger than ${kibibytes(toolLimits.fileBytes)}. Read a part of it with runCommand.`);
  const bytes = buffer.subarray(0, length);
  const text = textOf(bytes);
  return text !== null && Buffer.byteLength(JSON.stringify(text)) <= answerBytes
    ? text
    : { content: bytes.toString('base64'), encoding: 'base64' };
}

/** Null where the bytes are no text. */
function textOf(bytes: Buffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

function bytesOf(content: unknown, encoding: unknown): Buffer {
  if (typeof content !== 'string') throw new Error('content must be text.');
  if (encoding !== undefined && encoding !== 'base64')
    throw new Error('encoding must be base64, or left out for text.');
  const bytes = Buffer.from(content, encoding === 'base64' ? 'base64' : 'utf8');
  if (encoding === 'base64' && bytes.toString('base64') !== content) throw new Error('content is not valid base64.');
  if (bytes.length > toolLimits.fileBytes)
    throw new Error(`content is larger than ${kibibytes(toolLimits.fileBytes)}. Write it in parts, or clone it.`);
  return bytes;
}
