import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { isPinned } from '../../scripts/images/pinned.ts';
import { endOfLifeOf, readLock, valuesFromLock } from '../../scripts/template-images.ts';
import { runLock, type LockFlags } from '../../scripts/template-lock.ts';

const digest = (character: string): string => `sha256:${character.repeat(64)}`;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-lock-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A container engine as the command sees it: `pull` succeeds for what a registry has, `image inspect` for what is
 * here, with the digests its registry gave.
 */
function engine(
  name: string,
  has: { readonly registry?: string; readonly here?: string; readonly digests?: string },
): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    `#!/bin/sh
for last; do :; done
case $1 in
  pull) case $last in ${has.registry ?? 'none'}) exit 0 ;; esac; echo "manifest for $last not found" >&2; exit 1 ;;
  image) case $last in ${has.here ?? '*'}) echo '${has.digests ?? '[]'}'; exit 0 ;; esac; exit 1 ;;
esac
`,
  );
  chmodSync(path, 0o755);
  return path;
}

const environment = { IMG_REGISTRY: 'registry.example.com', IMG_ORG: 'team', VERSION: '1.2.0' };
const usual = 'registry.example.com/team/outrigger-agent-opencode';

async function lock(names: readonly string[], flags: Partial<LockFlags>, around: Record<string, string> = environment) {
  const said: string[] = [];
  try {
    await runLock(names, { image: [], ...flags }, { environment: around, print: (line) => said.push(line) });
    return { code: 0, said: said.join('\n') };
  } catch (error) {
    if (error instanceof CommandFailure) return { code: error.exitCode, said: error.message };
    throw error;
  }
}

describe('outrigger template lock', () => {
  it('writes the digest that the registry gives, and keeps what it says of other images', async () => {
    const out = join(folder, 'lock.json');
    const service = `registry.example.com/team/outrigger-service:1@${digest('5')}`;
    writeFileSync(out, JSON.stringify({ version: 1, images: { service } }));
    const digests = JSON.stringify([`mirror.example.com/x@${digest('0')}`, `${usual}@${digest('a')}`]);

    const run = await lock(['opencode'], { out, engine: engine('good', { registry: `${usual}:1.2.0`, digests }) });

    expect(run.code).toBe(0);
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual({
      version: 1,
      images: { opencode: `${usual}:1.2.0@${digest('a')}`, service },
    });
  });

  it.each([
    [
      'an image that was only built here',
      { here: '*', digests: `["${usual}@${digest('b')}"]` },
      'only on this machine',
    ],
    ['an image that is nowhere', { here: 'none' }, 'cannot be pulled'],
    ['an engine that tells no digest', { registry: '*', digests: '[]' }, 'tells no digest'],
  ])('refuses %s, and touches no file', async (what, has, sentence) => {
    const out = join(folder, 'untouched.json');

    const run = await lock(['opencode'], { out, engine: engine(what.replaceAll(' ', '-'), has) });

    expect(run).toMatchObject({ code: 1, said: expect.stringContaining(sentence) });
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    [
      'a registry of this machine',
      [],
      { image: ['opencode=localhost:5000/x:1'] },
      environment,
      1,
      'registry of this machine',
    ],
    ['no registry', ['opencode'], {}, {}, 2, 'Set IMG_REGISTRY, IMG_ORG, VERSION'],
    ['an image nobody knows', ['chrome'], {}, environment, 2, 'There is no image chrome'],
    ['no engine', ['opencode'], { engine: '/nowhere/docker' }, environment, 2, 'cannot be run'],
  ] as const)('refuses %s', async (_what, names, flags, around, code, sentence) => {
    expect(await lock(names, flags, around)).toMatchObject({ code, said: expect.stringContaining(sentence) });
  });
});

describe('The images lock', () => {
  const read = (text: string) => {
    const path = join(folder, 'read.json');
    writeFileSync(path, text);
    return () => readLock(path, true);
  };

  it('is not needed, unless it was asked for', () => {
    expect(readLock(join(folder, 'none.json'), false)).toBeNull();
    expect(() => readLock(join(folder, 'none.json'), true)).toThrow('cannot be read');
  });

  it.each([
    ['an image without a digest', '{"version":1,"images":{"base":"x:1"}}', 'images.base'],
    ['an image nobody knows', `{"version":1,"images":{"x":"x@${digest('1')}"}}`, 'images'],
    ['another version', '{"version":2,"images":{}}', 'version'],
    ['no JSON', '{{', "at ''"],
  ])('refuses %s, and says where', (_what, text, place) => {
    expect(read(text)).toThrow(place);
  });

  it('fills only variables that the template has, the smallest executor first', () => {
    const image = (one: string): string => `r.example.com/${one}@${digest(one)}`;
    const [base, code, nix] = [image('1'), image('2'), image('3')];
    const found = { version: 1, images: { nix, 'code-server': code, base } } as const;
    const declared = { executor_images: {}, ide_images: {}, preset_images: {}, opencode_image: {} };

    expect(valuesFromLock(found, declared)).toEqual({
      executor_images: JSON.stringify([base, code, nix]),
      ide_images: JSON.stringify([code]),
      preset_images: JSON.stringify({ nix }),
    });
    expect(valuesFromLock(found, { opencode_image: {} })).toEqual({});
  });
});

describe('An image', () => {
  it.each([
    'ubuntu:20.04',
    'docker.io/library/ubuntu:20.04',
    `ubuntu:20.04@${digest('1')}`,
    'ubuntu:focal',
    'node:18-slim',
  ])('%s is told to have ended', (image) => expect(endOfLifeOf(image)).toContain('end of life'));

  it.each(['ubuntu:24.04', 'example.com/ubuntu:20.04', 'debian:13', 'node:24'])('%s is not', (image) =>
    expect(endOfLifeOf(image)).toBeUndefined(),
  );

  it('is pinned by a whole digest only', () => {
    expect([`a/b:1@${digest('f')}`, 'a/b:1', `a/b@sha256:${'f'.repeat(63)}`].map(isPinned)).toEqual([
      true,
      false,
      false,
    ]);
  });
});
