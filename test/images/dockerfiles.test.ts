import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { images } from '../../scripts/images/agents.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const under = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => !path.includes('node_modules'));

const dockerfiles = ['modules', 'service', 'docs'].flatMap(under).filter((path) => path.endsWith('/Dockerfile'));
const buildScripts = under('modules/executors').filter((path) => path.endsWith('.sh'));
const packageLists = ['modules', 'service'].flatMap(under).filter((path) => /(^|[/-])packages$/.test(path));
const rendered = under('templates').filter((path) => path.endsWith('.tf'));

/** A Dockerfile's instructions, one a line, without comments. */
const instructions = (path: string): string[] =>
  read(path)
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');

/** What an image, package or tool that is another one tomorrow looks like. */
const floating = /:latest\b|@latest\b|[/=]latest\b/;
/** A key, token or password with its value, or one of a well-known shape. */
const secretLooking =
  /\b(ghp|gho|ghs|github_pat|glpat|xox[abp]|sk-(ant|or|proj)|AKIA|AIza)[-_]?[0-9A-Za-z_-]{12,}|-----BEGIN [A-Z ]*PRIVATE KEY|\b\w*(SECRET|TOKEN|PASSWORD|API_?KEY|CREDENTIAL)\w*\s*[=:]\s*["']?(?!var\.|\$|coder_|data\.|random_|random\.|local\.)[\w/+-]{8,}/i;

describe('every Dockerfile', () => {
  it('is looked at here, and belongs to an image that make knows', () => {
    const known = new Set([...Object.values(images).map(({ dockerfile }) => dockerfile)]);

    expect(dockerfiles.length).toBeGreaterThanOrEqual(4);
    expect(dockerfiles.filter((path) => !known.has(path) && !path.startsWith('docs/examples/executors/'))).toEqual([]);
    expect([...known].filter((path) => !dockerfiles.includes(path))).toEqual([]);
  });

  it.each(dockerfiles)('%s ends as user 1000:0', (path) => {
    const users = instructions(path).filter((line) => line.startsWith('USER '));

    expect(users.at(-1)).toBe('USER 1000:0');
  });

  it.each(dockerfiles)('%s starts only from what it is given, a stage of its own, or nothing', (path) => {
    const stages = instructions(path).filter((line) => line.startsWith('FROM '));
    const named = stages.map((line) => line.split(/\s+/)[3]).filter((stage) => stage !== undefined);
    const sources = stages.map((line) => line.split(/\s+/)[1]);

    expect(
      sources.filter((from) => from !== '${BASE_IMAGE}' && from !== 'scratch' && !named.includes(from ?? '')),
    ).toEqual([]);
    // A default would be an image nobody chose.
    expect(instructions(path).filter((line) => line.startsWith('ARG BASE_IMAGE'))).toEqual(['ARG BASE_IMAGE']);
  });

  it.each([...dockerfiles, ...buildScripts])('%s pipes no download into a shell', (path) => {
    expect(read(path)).not.toMatch(/\b(curl|wget)\b[^\n]*\|\s*(ba|z|da)?sh\b/);
    expect(read(path)).not.toMatch(/\b(ba|z|da)?sh\s+(-c\s+)?["']?[<$]\(?\s*(curl|wget)/);
  });

  it.each(dockerfiles)('%s opens no port and gives nobody else a right to write', (path) => {
    expect(instructions(path).filter((line) => /^EXPOSE\b/.test(line))).toEqual([]);
    expect(read(path)).not.toMatch(/chmod\s+(-R\s+)?(0?777|0?666|a\+\S*w|o\+\S*w)/);
  });

  it('O-12 devbox has Go 1.25.5 or newer, by a build argument, with a checksum for both architectures', () => {
    const [, version = ''] = /^ARG GO_VERSION=(\S+)$/m.exec(read('modules/executors/Dockerfile')) ?? [];
    const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);

    expect(major * 1_000_000 + minor * 1_000 + patch).toBeGreaterThanOrEqual(1_025_005);
    for (const architecture of ['amd64', 'arm64']) {
      expect(read('modules/executors/devbox/go-toolchains')).toMatch(
        new RegExp(`^v0\\.0\\.1-go${version.replaceAll('.', '\\.')}\\.linux-${architecture} h1:[\\w+/]{43}=$`, 'm'),
      );
    }
  });

  it('takes from npm only exact versions with a checksum', () => {
    for (const folder of ['devbox/npm', 'code-server']) {
      const manifest = JSON.parse(read(`modules/executors/${folder}/package.json`)) as Record<
        string,
        Record<string, string>
      >;
      const { packages } = JSON.parse(read(`modules/executors/${folder}/package-lock.json`)) as {
        packages: Record<string, { integrity?: string; inBundle?: boolean }>;
      };
      const versions = Object.values({ ...manifest['dependencies'], ...manifest['optionalDependencies'] });
      const unsure = Object.entries(packages).filter(
        ([path, { integrity, inBundle }]) => path !== '' && inBundle !== true && !integrity?.startsWith('sha512-'),
      );

      const names = Object.keys({ ...manifest['dependencies'], ...manifest['optionalDependencies'] });

      // npm leaves out an optional package that does not exist, without a word.
      expect(names.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
      expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
      expect(unsure).toEqual([]);
    }
  });
});

describe('what is built and rendered', () => {
  it('O-55 names images by digest or argument and tools by version, and nothing as latest', () => {
    const builds = [...dockerfiles, ...buildScripts, ...packageLists, ...rendered];
    const unpinned = packageLists
      .flatMap((path) => read(path).split('\n'))
      .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('='));
    const literalImages = rendered.flatMap((path) =>
      [...read(path).matchAll(/^\s*image\s*=\s*"(.*)"/gm)].map(([, image]) => image),
    );

    expect(builds.filter((path) => floating.test(read(path)))).toEqual([]);
    expect(literalImages.filter((image) => !/^\$\{|@sha256:[0-9a-f]{64}$/.test(image ?? ''))).toEqual([]);
    // These have no version that somebody would choose; Debian's release decides it.
    expect([...new Set(unpinned)].sort()).toEqual(systemPackages);
    for (const text of ['FROM debian:latest', 'go install x@latest', 'VERSION=latest']) expect(text).toMatch(floating);
  });

  it('O-56 holds nothing that looks like a secret', () => {
    const files = [...dockerfiles, ...buildScripts, ...rendered];

    expect(files.filter((path) => secretLooking.test(read(path)))).toEqual([]);
    expect(rendered.length).toBeGreaterThan(0);
    for (const text of [`ENV API_KEY=${'x'.repeat(20)}`, `token = "${'a1'.repeat(10)}"`, `ghp_${'a'.repeat(36)}`]) {
      expect(text).toMatch(secretLooking);
    }
  });

  it('sends an engine no file that no Dockerfile copies', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));

    expect(read('.dockerignore')).toMatch(/^\*$/m);
    expect(allowed.filter((path) => /^(\.git|\.outrigger|test|dist)$|\.env|secret/.test(path))).toEqual([]);
    expect(existsSync(join(root, '.env'))).toBe(false);
  });

  it.each(buildScripts)('%s is a script that a shell can read', (path) => {
    expect(() => execFileSync('sh', ['-n', join(root, path)])).not.toThrow();
  });
});

const systemPackages = [
  'ca-certificates',
  'file',
  'libgssapi-krb5-2',
  'libkrb5-dev',
  'libsecret-1-0',
  'libsecret-1-dev',
  'libx11-6',
  'libx11-dev',
  'libxkbfile-dev',
  'libxkbfile1',
  'patch',
  'pkg-config',
  'xz-utils',
];
