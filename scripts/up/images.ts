import { join } from 'node:path';
import { CommandFailure } from '../command-failure.ts';
import { isPinned } from '../images/pinned.ts';
import { readSettings, referenceOf } from '../images/settings.ts';
import { lastLine, runProgram } from '../program.ts';
import type { Docker } from './docker.ts';
import { startPassingRegistry } from './passing-registry.ts';

const root = join(import.meta.dirname, '..', '..');

export interface LocalImages {
  readonly opencode: string;
  readonly executor: string;
}

interface Parts {
  readonly docker: Docker;
  readonly environment: NodeJS.ProcessEnv;
  /** The project's. */
  readonly version: string;
  /** True: build even what is there. */
  readonly rebuild: boolean;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The two images that the docker template cannot do without, built where they are missing, as Docker takes them by digest. */
export async function localImages(parts: Parts): Promise<LocalImages> {
  return { opencode: await localImage('opencode', parts), executor: await localImage('base', parts) };
}

async function localImage(agent: string, parts: Parts): Promise<string> {
  const environment = { ...parts.environment, AGENT: agent, CONTAINER_ENGINE: 'docker' };
  const image = referenceOf(
    readSettings(environment, parts.version, () => false).kind,
    readSettings(environment, parts.version, () => false),
  );
  const isThere = (await parts.docker('image', 'inspect', image)).code === 0;
  if (!isThere || parts.rebuild) await build(image, environment, parts);
  return await pin(image, parts);
}

async function build(image: string, environment: NodeJS.ProcessEnv, parts: Parts): Promise<void> {
  const { say, signal } = parts;
  const BASE_IMAGE = environment['BASE_IMAGE'] || (await todaysDebian(parts));
  say(`building ${image} on ${BASE_IMAGE}`);
  const words = ['--import', 'tsx', join(root, 'scripts', 'image.ts'), 'build'];
  const env = { ...environment, BASE_IMAGE };
  const { code, stdout, stderr } = await runProgram(process.execPath, words, { signal, cwd: root, env });
  signal.throwIfAborted();
  if (code === 0) return;
  const end = `${stdout}\n${stderr}`.trim().split('\n').slice(-12).join('\n  ');
  throw new CommandFailure(
    code === 2 ? 2 : 1,
    `${image} was not built:\n  ${end}\nBuild it by itself to see everything: \`AGENT=${environment['AGENT']} BASE_IMAGE=${BASE_IMAGE} ./run build\`, then run this again.`,
  );
}

const debian = 'debian:bookworm-slim';

async function todaysDebian({ docker, say }: Parts): Promise<string> {
  say(`pulling ${debian}, the base of our images`);
  const pulled = await docker('pull', '--quiet', debian);
  const found = await digestsOf(docker, debian);
  const base = found.find((one) => /^(docker\.io\/library\/)?debian@/.test(one));
  if (base !== undefined) return base;
  throw new CommandFailure(
    2,
    `${debian} cannot be pulled: ${lastLine(pulled.stderr)}. Name a Debian bookworm that this machine has or can pull: BASE_IMAGE=registry.example.com/debian@sha256:…`,
  );
}

/** The image by a digest that this Docker knows, so that no registry is asked when a container is made of it. */
async function pin(image: string, { docker, say }: Parts): Promise<string> {
  const [known] = await digestsOf(docker, image);
  if (known !== undefined) return known;
  say(`pinning ${image} by its digest`);
  const registry = await startPassingRegistry();
  try {
    const name = `${registry.host}/${image.replace(/^localhost\//, '')}`;
    const tagged = await docker('tag', image, name);
    const pushed = tagged.code === 0 ? await docker('push', '--quiet', name) : tagged;
    const digest = (await digestsOf(docker, name)).find((one) => one.startsWith(`${registry.host}/`));
    // The second name stays: Docker forgets a digest together with the last tag of its repository.
    if (pushed.code === 0 && digest !== undefined) return digest;
    throw new CommandFailure(
      1,
      `Docker did not give ${image} a digest: ${lastLine(pushed.stderr)}. Where Docker runs on another machine, push the images to a registry and run \`outrigger template lock\`; up takes what the lock says.`,
    );
  } finally {
    await registry.close();
  }
}

async function digestsOf(docker: Docker, image: string): Promise<readonly string[]> {
  const { code, stdout } = await docker('image', 'inspect', '--format', '{{json .RepoDigests}}', image);
  if (code !== 0) return [];
  return ((JSON.parse(stdout.trim() || 'null') ?? []) as readonly string[]).filter(isPinned);
}
