import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { applyDelta } from '../../service/broker/pack-delta.ts';
import { buildsOn, readCommits } from '../../service/broker/pack-commits.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-pack-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (name: string, args: string[], input = ''): Buffer =>
  execFileSync('git', ['-C', join(folder, name), ...args], {
    input,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'], GIT_CONFIG_NOSYSTEM: '1', HOME: folder },
  });

/** A repository whose 300 commits resemble each other so much that git stores most as differences, with merges. */
function makeHistory(name: string, format: 'sha1' | 'sha256'): void {
  execFileSync('git', ['init', '--quiet', '--bare', `--object-format=${format}`, join(folder, name)]);
  const who = 'Ada <ada@example.com> 1700000000 +0000';
  const commits = Array.from({ length: 300 }, (_, index) => {
    const message = `${'The same long words again and again. '.repeat(20)}${index}\n`;
    const parents = index === 0 ? '' : `from :${index}\n${index % 10 === 9 ? `merge :${index - 5}\n` : ''}`;
    return `commit refs/heads/main\nmark :${index + 1}\ncommitter ${who}\ndata ${message.length}\n${message}${parents}M 644 inline f\ndata 2\n${index % 10}\n\n`;
  });
  run(name, ['fast-import', '--quiet'], commits.join(''));
}

const packOf = (name: string, ...options: string[]): Buffer =>
  run(name, ['pack-objects', '--stdout', '--revs', '--quiet', '--no-reuse-delta', ...options], 'refs/heads/main\n');
const historyOf = (name: string): [string, string[]][] =>
  run(name, ['rev-list', '--parents', 'main'])
    .toString()
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([id = '', ...parents]) => [id, parents]);

describe('commits in a pack', () => {
  it.each([
    ['sha1', 'by offset', ['--delta-base-offset']],
    ['sha1', 'by name', []],
    ['sha256', 'by offset', ['--delta-base-offset']],
  ] as const)('are those that git sees (%s, differences %s)', async (format, how, options) => {
    const name = `${format}-${how.replace(' ', '-')}`;
    makeHistory(name, format);
    const pack = packOf(name, '--window=50', '--depth=50', ...options);
    writeFileSync(join(folder, `${name}.pack`), pack);
    run(name, ['index-pack', join(folder, `${name}.pack`)]);
    const stored = run(name, ['verify-pack', '-v', join(folder, `${name}.idx`)]).toString();

    const graph = await readCommits(pack, format);

    expect(stored.match(/^[0-9a-f]+ commit (?:\d+ ){4}[0-9a-f]{40,64}$/gm)?.length ?? 0).toBeGreaterThan(20);
    expect(new Map([...graph].sort())).toEqual(new Map(historyOf(name).sort()));
    const [newest = ''] = historyOf(name)[0] ?? [];
    const [oldest = ''] = historyOf(name).at(-1) ?? [];
    expect([buildsOn(graph, newest, oldest), buildsOn(graph, oldest, newest)]).toEqual([true, false]);
    expect(buildsOn(graph, newest, 'f'.repeat(oldest.length))).toBe(false);
  });

  it('cannot be read out of a pack that is cut, changed or none', async () => {
    makeHistory('broken', 'sha1');
    const pack = packOf('broken');
    const [newest = ''] = historyOf('broken')[0] ?? [];
    const graphOf = (bytes: Buffer) =>
      readCommits(bytes, 'sha1').then(
        (graph) => graph.has(newest),
        () => false,
      );

    expect(await graphOf(pack)).toBe(true);
    for (const length of [0, 4, 12, 31, 40]) expect(await graphOf(pack.subarray(0, length))).toBe(false);
    await expect(readCommits(pack.subarray(0, pack.length - 100), 'sha1')).rejects.toThrow();
    // A header that claims a gigabyte is not believed.
    const huge = Buffer.concat([pack.subarray(0, 8), Buffer.from([0xff, 0xff, 0xff, 0xff]), pack.subarray(12)]);
    await expect(readCommits(huge, 'sha1')).rejects.toThrow(/too many objects/);
    for (let at = 12; at < 200; at += 1) {
      const changed = Buffer.from(pack);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      // Never a hang or a crash; the checksum of what it claims to be is not ours to check.
      await graphOf(changed);
    }
  });
});

/** A pack of objects that need not make sense, each as `[kind, what follows its header, content]`. */
function makePack(objects: readonly (readonly [number, Buffer, Buffer])[]): Buffer {
  const header = Buffer.alloc(12);
  header.write('PACK');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(objects.length, 8);
  const body = objects.map(([kind, base, content]) => {
    const size = [(kind << 4) | (content.length & 15)];
    for (let rest = content.length >> 4; rest > 0; rest >>= 7) {
      size[size.length - 1] = (size.at(-1) ?? 0) | 0x80;
      size.push(rest & 0x7f);
    }
    return Buffer.concat([Buffer.from(size), base, deflateSync(content)]);
  });
  return Buffer.concat([header, ...body, Buffer.alloc(20)]);
}

describe('a pack that is made to be expensive', () => {
  const none = Buffer.alloc(0);
  const first = `tree ${'a'.repeat(40)}\n`;

  it('is refused for a commit of more than a megabyte, before it is unpacked', async () => {
    const commit = Buffer.from(first + '\n'.repeat(1024 * 1024));
    await expect(readCommits(makePack([[1, none, commit]]), 'sha1')).rejects.toThrow(/too large/);
    // Everything else may be large.
    await expect(readCommits(makePack([[3, none, commit]]), 'sha1')).resolves.toEqual(new Map());
  });

  it('is refused for ten thousand differences that wait for an object', async () => {
    const delta = Buffer.from([10, 1, 1, 0x61]);
    const differences = (count: number) =>
      makePack(Array.from({ length: count }, () => [7, Buffer.alloc(20, 1), delta] as const));
    await expect(readCommits(differences(10_001), 'sha1')).rejects.toThrow(/differences/);
    await expect(readCommits(differences(10_000), 'sha1')).resolves.toEqual(new Map());
  });

  it('names parents in the header of a commit only', async () => {
    const [one, two] = ['1'.repeat(40), '2'.repeat(40)];
    const text = `${first}parent ${one}\nauthor A <a> 1 +0000\n\nparent ${two}\n`;
    const early = `${first}parent ${one}\n\nparent ${two}\n`;
    const bare = `${first}parent ${one}`;
    for (const content of [text, early, bare])
      expect([...(await readCommits(makePack([[1, none, Buffer.from(content)]]), 'sha1')).values()]).toEqual([[one]]);
    const treeless = await readCommits(makePack([[1, none, Buffer.from(`parent ${one}\n`)]]), 'sha1');
    expect([...treeless.values()]).toEqual([[]]);
  });
});

describe('a difference', () => {
  const base = Buffer.from('0123456789');
  it('copies and inserts', () => {
    // Sizes 10 and 7; copy 3 from 2; insert "ab"; copy 2 from 8.
    const delta = Buffer.from([10, 7, 0x91, 2, 3, 2, 0x61, 0x62, 0x91, 8, 2]);
    expect(applyDelta(base, delta).toString()).toBe('234ab89');
  });
  it.each([
    ['another base', [9, 1, 1, 0x61]],
    ['a copy beyond its base', [10, 5, 0x91, 8, 5]],
    ['less than it says', [10, 7, 1, 0x61]],
    ['more than it says', [10, 1, 2, 0x61, 0x62]],
    ['an empty piece', [10, 1, 0]],
    ['an early end', [10, 3, 3, 0x61]],
    ['a size beyond all', [10, 0xff, 0xff, 0xff, 0x7f, 1, 0x61]],
    ['nothing', []],
  ])('is refused with %s', (_what, bytes) => {
    expect(() => applyDelta(base, Buffer.from(bytes))).toThrow();
  });
});
