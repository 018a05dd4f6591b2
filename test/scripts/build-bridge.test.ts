import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { buildBridge, buildEgress, buildHelper } from '../../scripts/build-bridge.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-build-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ['bridge', buildBridge],
  ['helper', buildHelper],
  ['egress', buildEgress],
])(
  'the %s is replaced whole, so that who reads it meanwhile gets all of one or all of the other',
  async (name, build) => {
    const path = join(folder, `${name}.js`);
    writeFileSync(path, 'the one before');
    const reader = await open(path);

    await Promise.all([build(path), build(path)]);

    expect(await reader.readFile('utf8')).toBe('the one before');
    await reader.close();
    expect(readFileSync(path, 'utf8').length).toBeGreaterThan(1_000);
    expect(readdirSync(folder)).toEqual([`${name}.js`]);
  },
);
