import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const script = fileURLToPath(new URL('../../scripts/scan-image.sh', import.meta.url));
const image = 'registry.example.com/team/outrigger-agent-base:1';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-scan-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A scanner that writes down what it is asked and ends with the code that is given for an image. */
function scanner(name: string, codes: Readonly<Record<string, number>> = {}): string {
  const path = join(folder, name);
  const cases = Object.entries(codes).map(([one, code]) => `  *' ${one}') exit ${String(code)} ;;`);
  const lines = ['#!/bin/sh', `printf '%s\\n' "$*" >>'${join(folder, 'asked')}'`, 'case "$*" in', ...cases, 'esac'];
  writeFileSync(path, `${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
  return path;
}
const asked = (): readonly string[] => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n');
const scan = (words: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
  const { status, stdout, stderr } = spawnSync('/bin/sh', [script, ...words], {
    encoding: 'utf8',
    env: { PATH: folder, ...environment },
  });
  return { status, stdout, stderr };
};

describe('scripts/scan-image.sh', () => {
  it('asks trivy for critical faults that a newer package mends, and for nothing else (part of I-70)', () => {
    scanner('grype');
    scanner('trivy');

    expect(scan([image])).toMatchObject({ status: 0, stdout: `scan: ${image}\n` });
    expect(asked()).toEqual([
      `image --scanners vuln --ignore-unfixed --severity CRITICAL --exit-code 10 --no-progress ${image}`,
    ]);
  });

  it('asks grype the same where there is no trivy, or where it is named (part of I-70)', () => {
    scanner('grype');

    expect(scan([image]).status).toBe(0);
    expect(scan([image], { SCANNER: join(folder, 'grype') }).status).toBe(0);
    expect(asked()).toEqual(Array.from({ length: 2 }, () => `--only-fixed --fail-on critical --quiet ${image}`));
  });

  it.each([
    ['trivy', 10],
    ['grype', 2],
  ])('fails on a finding of %s after it has looked at every image (part of I-70)', (name, code) => {
    scanner(name, { 'bad:1': code });

    expect(scan(['bad:1', 'good:1'])).toMatchObject({ status: 1, stderr: expect.stringContaining('build the images') });
    expect(asked()).toHaveLength(2);
  });

  it.each([
    ['no scanner', [image], {}, 'There is no scanner. Install trivy'],
    ['a scanner that is not there', [image], { SCANNER: '/nowhere/trivy' }, 'cannot be run'],
    ['a scanner that nobody knows', [image], { SCANNER: '/bin/true' }, 'neither trivy nor grype'],
    ['no image', [], {}, 'Which image?'],
    ['an option for the scanner', ['--config=/tmp/x'], {}, 'is no image'],
  ] as const)('ends with 2 for %s, which is no finding (part of I-70)', (_what, words, environment, sentence) => {
    expect(scan(words, environment)).toMatchObject({ status: 2, stderr: expect.stringContaining(sentence) });
  });

  it('takes a scan that broke for no scan at all (part of I-70)', () => {
    scanner('trivy', { [image]: 1 });

    expect(scan([image])).toMatchObject({ status: 2, stderr: expect.stringContaining('could not be looked at') });
  });
});
