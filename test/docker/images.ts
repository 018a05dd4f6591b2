import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs where scripts/test-docker.sh asks for it; these take too long for CI. A daemon that does not answer is a failure. */
export const withDockerAtLength =
  process.env['OUTRIGGER_TEST_DOCKER'] === '1' && process.env['OUTRIGGER_TEST_DOCKER_ALL'] === '1'
    ? describe
    : describe.skip;

/** Debian with nothing added: what a workspace gets from an image that nobody made for it. */
export const bareImage = process.env['OUTRIGGER_TEST_BASE_IMAGE'] ?? 'outrigger-base:bookworm';

const organization = 'outrigger-workspace-test';
const version = `test-${process.pid}`;
const nameOf = (agent: string): string => `localhost/${organization}/outrigger-agent-${agent}:${version}`;
const built = new Map<string, string>();

/** The images of a workspace from the sources as they are, by the command that people use; each built once. */
export function workspaceImages(): { readonly opencode: string; readonly executor: string } {
  return { opencode: image('opencode'), executor: image('base') };
}

/** The executor with Nix, made from the default one. */
export function nixExecutor(): string {
  image('base');
  return image('nix', '');
}

/** An image that a test makes of one of these by a Dockerfile of its own; the context is the folder of all tests. */
export function layerOn(base: string, agent: string, dockerfile: string): string {
  const words = ['build', '--file', dockerfile, '--build-arg', `BASE_IMAGE=${base}`, '--tag', nameOf(agent), 'test'];
  return once(agent, 'docker', words);
}

function image(agent: string, base = bareImage): string {
  const settings = { AGENT: agent, IMG_ORG: organization, VERSION: version, BASE_IMAGE: base, ALLOW_LOCAL_BASE: '1' };
  return once(agent, './run', ['build'], settings);
}

function once(agent: string, program: string, words: readonly string[], settings: Record<string, string> = {}): string {
  if (!built.has(agent)) {
    const { status, stdout, stderr } = spawnSync(program, words, {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, ...settings },
    });
    if (status !== 0) throw new Error(`${agent} was not built:\n${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`);
    built.set(agent, nameOf(agent));
  }
  return nameOf(agent);
}

/** Takes the names away; Docker's build cache keeps the layers for the next run. */
export function removeImages(): void {
  for (const name of built.values()) spawnSync('docker', ['image', 'rm', '--force', name]);
  built.clear();
}
