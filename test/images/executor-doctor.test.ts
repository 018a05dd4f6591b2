import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { formatDiagnosis, judge } from '../../scripts/executor/doctor.ts';
import { parseProbe, type Probe } from '../../scripts/executor/probe.ts';
import type { Findings } from '../../scripts/executor/rules.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));

const tools = 'bash sh git base64 sha256sum sed grep mkdir cp mv rm mktemp cat curl find'.split(' ');
const good = [
  'shell=here',
  ...tools.map((tool) => `tool.${tool}=/usr/bin/${tool}`),
  ...['shell_exists=yes', 'certificates=yes', 'glibc=/lib64/ld-linux-x86-64.so.2'],
  ...['workspace=writable', 'home=writable', 'tmp=writable', 'probe=done'],
];

/** The probe of a good image with some lines taken out and others put in. */
const probe = (without: RegExp = /^$/, more: readonly string[] = []): Probe =>
  parseProbe([...good.filter((line) => !without.test(line)), ...more].join('\n'));

const findings = (change: Partial<Findings> = {}): Findings => ({
  config: {
    user: '1000:0',
    workingDir: '/workspace',
    command: ['bash'],
    environment: { HOME: '/home/coder', SHELL: '/bin/zsh', WORKSPACE_DIR: '/workspace' },
  },
  usual: probe(),
  arbitrary: probe(),
  root: probe(),
  ...change,
});
const config = (change: Partial<Findings['config']>): Partial<Findings> => ({
  config: { ...findings().config, ...change },
});
const environment = (change: Record<string, string>): Partial<Findings> => config({ environment: change });

/** Name, what was found and what to do, of each rule that does not hold. */
const brokenOf = (seen: Findings): string[] =>
  judge('x', seen)
    .checks.filter(({ ok }) => !ok)
    .map(({ name, found, remedy }) => `${name}: ${found} → ${remedy}`);

describe('outrigger executor doctor', () => {
  it('finds nothing wrong with an image that keeps every rule', () => {
    expect(judge('x', findings())).toMatchObject({ ok: true });
    expect(formatDiagnosis(judge('x', findings()))).toContain('x keeps every rule of executors.');
  });

  const { HOME, SHELL, WORKSPACE_DIR } = { HOME: '/home/coder', SHELL: '/bin/zsh', WORKSPACE_DIR: '/workspace' };
  it.each<[string, Partial<Findings>, string]>([
    ['HOME', environment({ SHELL, WORKSPACE_DIR }), 'ENV HOME='],
    ['SHELL', environment({ HOME, WORKSPACE_DIR }), 'ENV SHELL='],
    ['WORKSPACE_DIR', environment({ HOME, SHELL }), 'ARG WORKSPACE_DIR=/workspace'],
    ['USER', config({ user: 'coder' }), 'USER 1000:0'],
    ['WORKDIR', config({ workingDir: '/' }), 'WORKDIR /workspace'],
    ['CMD', config({ command: ['sleep', '1'] }), 'CMD ["bash"]'],
  ])('O-36 names %s where it is the one that is missing', (name, change, remedy) => {
    const broken = brokenOf(findings(change));

    expect(broken).toHaveLength(1);
    expect(broken[0]).toMatch(new RegExp(`^${name}: `));
    expect(broken[0]).toContain(remedy);
  });

  it('takes root for what it is when the image names no user', () => {
    expect(brokenOf(findings(config({ user: '' })))).toEqual([expect.stringContaining('none, which is root')]);
  });

  it('O-59 prints the list of missing tools', () => {
    expect(brokenOf(findings({ usual: probe(/^tool\.(git|base64|curl)=/) }))).toEqual([
      'tools: missing: git, base64, curl or wget → Install git, base64, curl or wget in the Dockerfile.',
    ]);
  });

  it('takes wget for curl', () => {
    expect(brokenOf(findings({ usual: probe(/^tool\.curl=/, ['tool.wget=/usr/bin/wget']) }))).toEqual([]);
  });

  it('O-58 names path, owner, UID and remedy where a folder refuses', () => {
    const refused = probe(/^workspace=/, ['workspace=refused', 'workspace.owner=0:0 755']);

    expect(brokenOf(findings({ arbitrary: refused }))).toEqual([
      'workspace as 100012345:0: permission denied on /workspace (owner and mode 0:0 755) for UID 100012345 → In the Dockerfile, as root: mkdir -p /workspace && chown -R 1000:0 /workspace && chmod -R g=u /workspace',
    ]);
  });

  it.each<[string, Partial<Findings>, string]>([
    [
      'a file in /tools (part of O-40)',
      { root: probe(/^$/, ['tools_holds=/tools/opencode']) },
      'holds /tools/opencode',
    ],
    [
      'a folder that everybody can write (part of O-37)',
      { root: probe(/^$/, ['world_writable=/workspace']) },
      'chmod -R g=u,o-w',
    ],
    ['a missing workspace', { usual: probe(/^workspace=/, ['workspace=missing']) }, '/workspace is not there'],
    [
      'a libc that OpenCode cannot start with (part of O-02)',
      { usual: probe(/^glibc=/, ['musl=/lib/ld-musl-x86_64.so.1']) },
      'instead of Alpine',
    ],
    ['a shell that is not there', { usual: probe(/^shell_exists/) }, '/bin/zsh is not there'],
    ['missing certificates', { usual: probe(/^certificates/) }, 'ca-certificates'],
    ['a user of OpenShift without any home', { arbitrary: probe(/^(home|tmp)=/) }, 'chmod 1777 /tmp'],
    ['an image without a shell', { usual: parseProbe('') }, 'no sh in PATH'],
  ])('refuses %s', (_what, change, sentence) => {
    const broken = brokenOf(findings(change));

    expect(broken).toHaveLength(1);
    expect(broken[0]).toContain(sentence);
  });

  it('lets HOME fall back to /tmp for a user that no image knows', () => {
    expect(brokenOf(findings({ arbitrary: probe(/^home=/, ['home=refused']) }))).toEqual([]);
  });

  it.each([
    [['-o', 'xml', 'x'], '--output must be text or json'],
    [['--engine', 'nerdctl', 'x'], 'docker or podman'],
    [['--', '--privileged'], "is no image's name"],
  ])('exits 2 for %j', (words, sentence) => {
    const { status, stderr } = spawnSync(process.execPath, [file('outrigger.mjs'), 'executor', 'doctor', ...words], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });

    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(sentence) });
  });
});

describe('the probe that runs in the image', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outrigger-probe-'));
  });
  afterEach(() => {
    chmodSync(join(folder, 'home'), 0o755);
    rmSync(folder, { recursive: true, force: true });
  });

  it('says what is there and what takes a file', () => {
    mkdirSync(join(folder, 'workspace'));
    mkdirSync(join(folder, 'home'), 0o755);
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin/git'), '#!/bin/sh\n', { mode: 0o755 });

    const { status, stdout } = spawnSync('/bin/sh', [file('executor/probe.sh')], {
      encoding: 'utf8',
      env: {
        // No find, so that it does not walk through this machine.
        PATH: [join(folder, 'bin')].join(delimiter),
        WORKSPACE_DIR: join(folder, 'workspace'),
        HOME: join(folder, 'nothing'),
        SHELL: '/bin/sh',
      },
    });
    const seen = parseProbe(stdout);

    expect(status).toBe(0);
    expect(seen.get('tool.git')).toEqual([join(folder, 'bin/git')]);
    expect(seen.has('tool.curl')).toBe(false);
    expect(seen.get('workspace')).toEqual(['writable']);
    expect(seen.get('home')).toEqual(['missing']);
    expect(seen.get('probe')).toEqual(['done']);
  });
});
