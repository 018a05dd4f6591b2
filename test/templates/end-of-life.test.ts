import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { runKataTemplate, type KataFlags } from '../../scripts/kata.ts';
import { runLock } from '../../scripts/template-lock.ts';

const digest = `sha256:${'4'.repeat(64)}`;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-eol-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A container engine whose registry has ubuntu:24.04 under the digest above. */
function engine(): string {
  const path = join(folder, 'engine');
  const script = `case $1 in
  pull) for last; do :; done; [ "$last" = ubuntu:24.04 ] ;;
  image) echo '["ubuntu@${digest}"]' ;;
esac`;
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Makes a template of that name; what was said, and the images that it offers by itself. */
function make(name: string, flags: Partial<KataFlags>) {
  const told: string[] = [];
  runKataTemplate(
    name,
    { output: 'text', out: folder, ...flags },
    { print: () => undefined, tell: (line) => told.push(line) },
  );
  const hcl = readFileSync(join(folder, name, 'main.tf'), 'utf8');
  const [, images] = /variable "executor_images" \{\n[^}]*?default {5}= (\[.*\])\n/.exec(hcl) ?? [];
  return { told: told.join('\n'), images };
}

it('K-44 takes ubuntu:20.04 with a warning; the default is what the lock holds, such as ubuntu:24.04 by the digest of its registry', async () => {
  const asked = make('asked', { image: 'ubuntu:20.04' });
  expect(asked.images).toBe('["ubuntu:20.04"]');
  expect(asked.told).toContain('Warning: ubuntu:20.04 reached its end of life on 2025-05-31');
  expect(asked.told).toContain('Take ubuntu:24.04 instead.');

  const imagesLock = join(folder, 'images.lock.json');
  await runLock(
    [],
    { image: ['base=ubuntu:24.04'], out: imagesLock, engine: engine() },
    { environment: {}, print: () => undefined },
  );
  const byDefault = make('by-default', { imagesLock });
  expect(byDefault.images).toBe(`["ubuntu:24.04@${digest}"]`);
  expect(byDefault.told).toBe('');

  // No digest is made up: without a lock there is no default.
  expect(() => make('nothing', { imagesLock: join(folder, 'none.json') })).toThrow(CommandFailure);
});
