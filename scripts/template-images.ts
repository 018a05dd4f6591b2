import { existsSync } from 'node:fs';
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import { pinned } from './images/pinned.ts';
import { readText } from './template-context.ts';
import { parseYaml, type Declarations, type Values } from './template-variables.ts';

/** Lies at the root of a deployment's checkout; never committed here, since a digest belongs to a registry. */
export const lockFileName = 'images.lock.json';

/** Images of this project. Executors come in the order people are offered them: the first is the default. */
export const executorNames = ['base', 'devbox', 'code-server', 'nix'] as const;
export const imageNames = ['opencode', ...executorNames, 'service'] as const;
export type ImageName = (typeof imageNames)[number];

const lockShape = z.strictObject({
  version: z.literal(1),
  images: z.partialRecord(z.enum(imageNames), z.string().regex(pinned, 'is not pinned by @sha256:…')),
});
export type Lock = z.infer<typeof lockShape>;

/**
 * The lock of that path; null where there is none and none was asked for.
 *
 * Errors  `CommandFailure` 2 for a file that is missing though asked for, or not a lock.
 */
export function readLock(path: string, isAskedFor: boolean): Lock | null {
  if (!isAskedFor && !existsSync(path)) return null;
  const result = lockShape.safeParse(parseYaml(readText(path)));
  if (result.success) return result.data;
  const [fault] = result.error.issues;
  throw new CommandFailure(
    2,
    `${path} is not a lock of images at '${fault?.path.join('.')}': ${fault?.message}. \`outrigger template lock\` makes one.`,
  );
}

/** Which images of the lock serve which presets; a preset that is not here gets the default image. */
const presetImages: Readonly<Record<string, ImageName>> = {
  python: 'devbox',
  rust: 'devbox',
  'full-stack': 'devbox',
  nix: 'nix',
};

/** What the lock says about the variables that the template has. */
export function valuesFromLock({ images }: Lock, declared: Declarations): Values {
  const executors = executorNames.flatMap((name) => images[name] ?? []);
  const presets = Object.entries(presetImages).flatMap(([preset, name]) =>
    images[name] === undefined ? [] : [[preset, images[name]] as const],
  );
  const found = {
    opencode_image: images.opencode,
    executor_images: executors.length === 0 ? undefined : JSON.stringify(executors),
    ide_images: images['code-server'] === undefined ? undefined : JSON.stringify([images['code-server']]),
    preset_images: presets.length === 0 ? undefined : JSON.stringify(Object.fromEntries(presets)),
  };
  return Object.fromEntries(
    Object.entries(found).flatMap(([name, value]) =>
      value === undefined || !(name in declared) ? [] : [[name, value]],
    ),
  );
}

/**
 * Releases that get no fixes any more, with the day that ended and what to take instead.
 *
 * Sources  ubuntu.com/about/release-cycle (standard support), wiki.debian.org/LTS, nodejs.org/about/previous-releases
 */
const ended: readonly (readonly [image: RegExp, day: string, instead: string])[] = [
  [/^ubuntu:(14\.04|16\.04|18\.04|trusty|xenial|bionic)/, '2023-05-31', 'ubuntu:24.04'],
  [/^ubuntu:(20\.04|focal)/, '2025-05-31', 'ubuntu:24.04'],
  [/^debian:(8|9|10|jessie|stretch|buster)\b/, '2024-06-30', 'debian:13'],
  [/^node:(8|10|12|14|16|18)\b/, '2025-04-30', 'node:24'],
  [/^centos:/, '2024-06-30', 'a maintained distribution'],
];

/** One sentence about an image whose release gets no security fixes any more; undefined for any other. */
export function endOfLifeOf(image: string): string | undefined {
  const bare = image.replace(/^(docker\.io\/)?(library\/)?/, '');
  const found = ended.find(([pattern]) => pattern.test(bare));
  if (found === undefined) return undefined;
  const [, day, instead] = found;
  return `${image.split('@')[0]} reached its end of life on ${day} and gets no security fixes. Take ${instead} instead.`;
}
