import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const isThere = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;
/** Runs where somebody asked for Docker and a scanner is in PATH: it brings its database from the network. */
const wanted = process.env['OUTRIGGER_TEST_DOCKER'] === '1' && ['trivy', 'grype'].some(isThere);
const withScanner = wanted ? it : it.skip;

const base = process.env['OUTRIGGER_TEST_BASE_IMAGE'] ?? 'outrigger-base:bookworm';
const version = `scan-${process.pid}`;
const agents = ['opencode', 'base', 'service'] as const;
const name = (agent: string): string =>
  `localhost/outrigger-test/${agent === 'service' ? 'outrigger-service' : `outrigger-agent-${agent}`}:${version}`;

function call(program: string, words: readonly string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, IMG_ORG: 'outrigger-test', VERSION: version, ...environment },
  });
  return { status, said: `${stdout}${stderr}`.slice(-4_000) };
}

withScanner(
  'I-70 a scanner finds no critical fault in our images that a newer package mends',
  () => {
    try {
      for (const AGENT of agents) {
        const built = call('./run', ['build'], { AGENT, BASE_IMAGE: base, ALLOW_LOCAL_BASE: '1' });
        expect(built).toMatchObject({ status: 0 });
      }

      expect(call('scripts/scan-image.sh', agents.map(name))).toMatchObject({ status: 0 });
    } finally {
      call('docker', ['image', 'rm', '--force', ...agents.map(name)]);
    }
  },
  1_800_000,
);
