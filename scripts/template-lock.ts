import { renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { CommandFailure } from './command-failure.ts';
import { images as kinds } from './images/agents.ts';
import { isPinned } from './images/pinned.ts';
import { lastLine, runProgram, type Ran } from './program.ts';
import { imageNames, lockFileName, readLock, type ImageName, type Lock } from './template-images.ts';
import { templatesDirectory } from './template-render.ts';

export interface LockFlags {
  readonly image: readonly string[];
  readonly registry?: string;
  readonly org?: string;
  readonly imageVersion?: string;
  readonly engine?: string;
  readonly out?: string;
}

/** `outrigger template lock [NAME…]` */
export function lockCommand(): Command {
  const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];
  return new Command('lock')
    .description(`write ${lockFileName}: the digests that image variables are filled with at a push`)
    .argument('[names...]', `which images, of ${imageNames.join(', ')}; all but nix when none is named`)
    .option('--image <name=reference>', 'an image by another reference than the usual one', collect, [])
    .option('--registry <host>', 'where they are; otherwise IMG_REGISTRY')
    .option('--org <name>', 'under which name there; otherwise IMG_ORG')
    .option('--image-version <tag>', 'with which tag; otherwise VERSION')
    .option('--engine <command>', 'docker or podman; otherwise CONTAINER_ENGINE, else docker')
    .option('--out <file>', 'which file; otherwise the one at the root of this checkout')
    .addHelpText(
      'after',
      `
Images are <registry>/<org>/outrigger-agent-<name>:<version>; the service is outrigger-service. The engine pulls each, so
this needs the network, and the images in a registry. What the file says of other images stays.

Example:
  IMG_REGISTRY=registry.example.com IMG_ORG=team VERSION=1.2.0 outrigger template lock
`,
    )
    .action(async (names: string[], flags: LockFlags) => {
      try {
        await runLock(names, flags, { environment: process.env, print: (line) => console.log(line) });
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error;
        console.error(error.message);
        process.exitCode = error.exitCode;
      }
    });
}

interface Around {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (line: string) => void;
}

/** Resolves every image before the file is touched. Throws a `CommandFailure`. */
export async function runLock(
  names: readonly string[],
  flags: LockFlags,
  { environment, print }: Around,
): Promise<void> {
  const given = new Map(flags.image.map(readImage));
  const asked = names.length > 0 || given.size > 0 ? [...names, ...given.keys()] : standardNames;
  const chosen = imageNames.filter((name) => asked.includes(name));
  const strangers = asked.filter((name) => !imageNames.some((one) => one === name));
  if (strangers.length > 0)
    throw new CommandFailure(2, `There is no image ${strangers.join(', ')}. Known: ${imageNames.join(', ')}.`);
  const engine = flags.engine ?? environment['CONTAINER_ENGINE'] ?? 'docker';
  const path = flags.out ?? join(dirname(templatesDirectory), lockFileName);
  const before = readLock(path, false)?.images ?? {};
  let images: Lock['images'] = before;
  for (const name of chosen) {
    const image = await digestOf(engine, given.get(name) ?? usualReference(name, flags, environment));
    print(`${name}: ${image}`);
    images = { ...images, [name]: image };
  }
  const sorted = Object.fromEntries(imageNames.flatMap((name) => (images[name] ? [[name, images[name]]] : [])));
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${JSON.stringify({ version: 1, images: sorted }, null, 2)}\n`);
  renameSync(temporary, path);
  print(`${path} holds ${Object.keys(sorted).length} images.`);
}

const standardNames: readonly ImageName[] = imageNames.filter((name) => name !== 'nix');

function readImage(line: string): readonly [string, string] {
  const [name = '', ...rest] = line.split('=');
  const reference = rest.join('=');
  if (name === '' || reference === '') throw new CommandFailure(2, 'Each --image is name=reference.');
  return [name, reference];
}

function usualReference(name: ImageName, flags: LockFlags, environment: Around['environment']): string {
  const parts = {
    IMG_REGISTRY: flags.registry ?? environment['IMG_REGISTRY'],
    IMG_ORG: flags.org ?? environment['IMG_ORG'],
    VERSION: flags.imageVersion ?? environment['VERSION'],
  };
  const missing = Object.entries(parts).flatMap(([key, value]) => (value ? [] : [key]));
  if (missing.length > 0)
    throw new CommandFailure(
      2,
      `Where are the images? Set ${missing.join(', ')}, or name each with --image name=reference.`,
    );
  return `${parts.IMG_REGISTRY}/${parts.IMG_ORG}/${kinds[name]?.name ?? name}:${parts.VERSION}`;
}

/** A host that only this machine reaches: `localhost`, an address of its own, or a name without a registry. */
const isLocal = (reference: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?\//.test(reference);

/**
 * The image with the digest that its registry gives it.
 *
 * Trap  an engine may show a digest of an image that was only built here; the pull is what proves the registry has it.
 */
async function digestOf(engine: string, reference: string): Promise<string> {
  if (isLocal(reference))
    throw new CommandFailure(
      1,
      `${reference} is in a registry of this machine, and workspaces elsewhere cannot pull it. Push it to a registry they reach, and lock that.`,
    );
  const pulled = await run(engine, ['pull', '--quiet', reference]);
  if (pulled.code !== 0) {
    const isHere = (await run(engine, ['image', 'inspect', reference])).code === 0;
    throw new CommandFailure(
      1,
      isHere
        ? `${reference} is only on this machine: no registry gave it (${lastLine(pulled.stderr)}). Push it first (\`${engine} push ${reference}\`), then lock.`
        : `${reference} cannot be pulled: ${lastLine(pulled.stderr)}. Check the name, the network and \`${engine} login\`.`,
    );
  }
  const { stdout } = await run(engine, ['image', 'inspect', '--format', '{{json .RepoDigests}}', reference]);
  const repository = reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  const digests = (JSON.parse(stdout.trim() || 'null') ?? []) as readonly string[];
  const digest = digests.find((one) => one.startsWith(`${repository}@`))?.split('@')[1];
  const image = `${reference.replace(/@.*$/, '')}@${digest}`;
  if (digest !== undefined && isPinned(image)) return image;
  throw new CommandFailure(1, `${engine} tells no digest of ${reference} in its registry. Push it again, then lock.`);
}

async function run(engine: string, line: readonly string[]): Promise<Ran> {
  const ran = await runProgram(engine, line);
  if (!ran.isMissing) return ran;
  throw new CommandFailure(
    2,
    `Digests are resolved with ${engine}, and it cannot be run. Install it, or name another with --engine.`,
  );
}
