import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { inflate, inflateSync, type InputType, type ZlibOptions } from 'node:zlib';
import { applyDelta } from './pack-delta.ts';

/** Parents of each commit in a pack, by id. */
export type CommitGraph = ReadonlyMap<string, readonly string[]>;

/** The pack is broken, or larger in some way than what is looked through here. */
export class UnreadablePack extends Error {}

const mostObjects = 100_000;
const largestObject = 64 * 1024 * 1024;
/** As much as `applyDelta` makes; a commit stays far below it, and a larger one could take seconds to read. */
const largestCommit = 1024 * 1024;
const mostWaiting = 10_000;
/** All objects together, and all that is kept at once. */
const mostInflated = 1024 * 1024 * 1024;
const mostKept = 64 * 1024 * 1024;
/** What is inflated at once; anything larger goes to another thread. */
const smallBytes = 64 * 1024;
const restEvery = 256;
const kinds = { commit: 1, offsetDelta: 6, nameDelta: 7 } as const;

interface Entry {
  readonly at: number;
  readonly kind: number;
  readonly size: number;
  /** Where the base of a delta is: its offset, or its id. */
  readonly base: number | string | null;
  readonly dataAt: number;
}

/**
 * Reads the commits out of a pack, whole ones and those stored as differences from others in it.
 *
 * Safety   each id is computed from the commit's own bytes, so a pack cannot claim parents for a commit that has others.
 * Source   gitformat-pack(5)
 */
export async function readCommits(pack: Buffer, hash: 'sha1' | 'sha256'): Promise<CommitGraph> {
  const idBytes = hash === 'sha1' ? 20 : 32;
  const count = readHeader(pack, idBytes);
  const commits = keepCommits(hash);
  const inflated = spend(mostInflated, 'it unpacks to too much');

  let at = 12;
  for (let index = 0; index < count; index += 1) {
    const entry = readEntry(pack, at, idBytes);
    inflated(entry.size);
    const { content, length } = await unpack(pack.subarray(entry.dataAt, pack.length - idBytes), entry.size);
    at = entry.dataAt + length;
    commits.take(entry, content);
    if (index % restEvery === restEvery - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return commits.graph();
}

/** Sorts what is a commit out of everything else, and keeps only that. */
function keepCommits(hash: 'sha1' | 'sha256') {
  const byOffset = new Map<number, Buffer>();
  const byId = new Map<string, Buffer>();
  /** Differences by the id of their base, which may stand after them. */
  const waiting = new Map<string, Buffer[]>();
  const kept = spend(mostKept, 'its commits are too large');
  const waits = spend(mostWaiting, 'too many of its objects are differences from others by name');

  const keep = (content: Buffer): string => {
    const id = createHash(hash).update(`commit ${content.length}\0`).update(content).digest('hex');
    kept(content.length);
    byId.set(id, content);
    return id;
  };
  return {
    take({ at, kind, base }: Entry, content: Buffer): void {
      if (typeof base === 'string') {
        kept(content.length);
        waits(1);
        const others = waiting.get(base);
        if (others) others.push(content);
        else waiting.set(base, [content]);
        return;
      }
      const source = base === null ? undefined : byOffset.get(base);
      const commit = source ? applyDelta(source, content) : kind === kinds.commit ? content : undefined;
      if (commit) byOffset.set(at, commit);
      if (commit) keep(commit);
    },
    graph(): CommitGraph {
      const found = [...byId.keys()];
      for (let id = found.pop(); id !== undefined; id = found.pop()) {
        const content = byId.get(id) ?? Buffer.alloc(0);
        for (const delta of waiting.get(id) ?? []) found.push(keep(applyDelta(content, delta)));
        waiting.delete(id);
      }
      return new Map([...byId].map(([id, content]) => [id, parentsOf(content)]));
    },
  };
}

const spend = (most: number, why: string) => {
  let total = 0;
  return (bytes: number): void => {
    total += bytes;
    if (total > most) throw new UnreadablePack(why);
  };
};

/** Whether `commit` builds on `ancestor` by commits that are all in the pack. */
export function buildsOn(graph: CommitGraph, commit: string, ancestor: string): boolean {
  const seen = new Set<string>();
  const open = [commit];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (id === ancestor) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    open.push(...(graph.get(id) ?? []));
  }
  return false;
}

function readHeader(pack: Buffer, idBytes: number): number {
  if (pack.length < 12 + idBytes || pack.toString('latin1', 0, 4) !== 'PACK' || ![2, 3].includes(pack.readUInt32BE(4)))
    throw new UnreadablePack('it is no pack');
  const count = pack.readUInt32BE(8);
  if (count > mostObjects) throw new UnreadablePack('it has too many objects');
  return count;
}

function readEntry(pack: Buffer, at: number, idBytes: number): Entry {
  let cursor = at;
  const byte = (): number => {
    const value = pack[cursor];
    if (value === undefined) throw new UnreadablePack('it ends early');
    cursor += 1;
    return value;
  };
  let current = byte();
  const kind = (current >> 4) & 7;
  let size = current & 15;
  for (let scale = 16; current & 0x80; scale *= 128) {
    current = byte();
    size += (current & 0x7f) * scale;
  }
  if (size > (kind === kinds.commit ? largestCommit : largestObject))
    throw new UnreadablePack('one of its objects is too large');
  let base: number | string | null = null;
  if (kind === kinds.offsetDelta) {
    current = byte();
    let back = current & 0x7f;
    while (current & 0x80) {
      current = byte();
      back = (back + 1) * 128 + (current & 0x7f);
    }
    base = at - back;
  } else if (kind === kinds.nameDelta) {
    base = pack.toString('hex', cursor, cursor + idBytes);
    cursor += idBytes;
  }
  return { at, kind, size, base, dataAt: cursor };
}

type WithInfo = { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
// With `info` Node also says how much was read, which its types leave out.
const inflateLater = promisify(inflate) as unknown as (bytes: InputType, options: ZlibOptions) => Promise<WithInfo>;
const inflateNow = inflateSync as unknown as (bytes: InputType, options: ZlibOptions) => WithInfo;

/** One compressed object, and how many bytes of the pack it took. */
async function unpack(bytes: Buffer, size: number): Promise<{ readonly content: Buffer; readonly length: number }> {
  const options = { info: true, maxOutputLength: Math.max(1, size) };
  try {
    const { buffer, engine } = size <= smallBytes ? inflateNow(bytes, options) : await inflateLater(bytes, options);
    if (buffer.length === size) return { content: buffer, length: engine.bytesWritten };
  } catch {
    // What zlib says of it helps nobody.
  }
  throw new UnreadablePack('one of its objects is broken');
}

/** The header of a commit: one tree, then its parents, then everything else. The message is not looked at. */
function parentsOf(content: Buffer): string[] {
  const end = content.indexOf('\n\n');
  const header = content.toString('latin1', 0, end < 0 ? content.length : end);
  const parents: string[] = [];
  let at = lineEnd(header, 0) + 1;
  if (!/^tree [0-9a-f]{40,64}$/.test(header.slice(0, at - 1))) return parents;
  for (; at < header.length; at = lineEnd(header, at) + 1) {
    const [, id] = /^parent ((?:[0-9a-f]{40}|[0-9a-f]{64}))$/.exec(header.slice(at, lineEnd(header, at))) ?? [];
    if (id === undefined) break;
    parents.push(id);
  }
  return parents;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}
