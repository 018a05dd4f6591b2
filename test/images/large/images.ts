import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
export const base = process.env['OUTRIGGER_TEST_BASE_IMAGE'] ?? 'outrigger-base:bookworm';
export const minutes = 60_000;

const version = process.env['OUTRIGGER_TEST_VERSION'] ?? `test-${process.pid}`;
const organization = 'outrigger-test';
const prefix = `localhost/${organization}`;

/** The name of the image that `build` makes. */
export const nameOf = (agent: string): string =>
  agent === 'service' ? `${prefix}/outrigger-service:${version}` : `${prefix}/outrigger-agent-${agent}:${version}`;
/** A name for a container that no other run of the suite takes. */
export const containerOf = (what: string): string => `${organization}-${what}-${version}`;

export function call(program: string, words: readonly string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, IMG_ORG: organization, VERSION: version, ...environment },
  });
  return { status, stdout, stderr };
}
export const docker = (...words: string[]) => call('docker', words);

/** Runs a shell line in an image, without network and capabilities, as `user`. */
export const inside = (agent: string, line: string, user = '1000:0') =>
  docker('run', '--rm', '--network', 'none', '--cap-drop', 'ALL', '--user', user, nameOf(agent), 'sh', '-c', line);

/** Which of these tools do not say their version in an image, each with what it said instead. */
export function silentTools(agent: string, tools: readonly string[]): string[] {
  const line = `for tool in ${tools.join(' ')}; do printf '%s: %s\\n' $tool "$($tool --version 2>&1 | head -n 1)"; done`;
  const said = inside(agent, line).stdout.trim().split('\n');
  return tools.filter((tool) => !said.some((one) => one.startsWith(`${tool}: `) && /\d+\.\d+/.test(one)));
}

export const bytesOf = (agent: string): number =>
  Number(docker('image', 'inspect', '--format', '{{.Size}}', nameOf(agent)).stdout);

/** The version that devbox's go.mod has of a module, without its v. */
export const pinned = (module: string): string =>
  new RegExp(`^\\s*${module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(
    readFileSync(join(root, 'modules/executors/devbox/tools/go.mod'), 'utf8'),
  )?.[1] ?? 'not in go.mod';

export function build(agent: string, environment: Record<string, string>): void {
  const { status, stdout, stderr } = call('./run', ['build'], { AGENT: agent, ALLOW_LOCAL_BASE: '1', ...environment });
  if (status !== 0) throw new Error(`${agent} was not built:\n${stdout.slice(-3_000)}\n${stderr.slice(-3_000)}`);
}
