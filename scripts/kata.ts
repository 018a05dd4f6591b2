import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import { readKataContainerConfig, type KataContainerConfig } from './kata/container-config.ts';
import { generateKataContainerTemplate } from './kata/generate.ts';
import { readText } from './template-context.ts';
import { isPinned } from './images/pinned.ts';
import { endOfLifeOf, lockFileName, readLock } from './template-images.ts';
import { templateNameFrom } from './template-names.ts';
import { templatesDirectory } from './template-render.ts';
import { parseYaml } from './template-variables.ts';

export interface KataFlags {
  readonly image?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly disk?: string;
  readonly description?: string;
  readonly out?: string;
  readonly fromFile?: string;
  readonly imagesLock?: string;
  readonly output: string;
}

/** The `kata` noun of the `outrigger` command. */
export function kataCommand(): Command {
  const command = new Command('kata').description('workspaces in virtual machines, by Kata Containers');
  command
    .command('template')
    .description('make a template whose workspaces are virtual machines, with these defaults')
    .argument('[name]', 'its name in Coder; what Coder would not take becomes a hyphen')
    .option('--image <image>', 'image of the workspace; pin it by digest')
    .option('--cpu <cores>', 'CPU cores')
    .option('--memory <MB>', 'memory in MB')
    .option('--disk <GB>', 'size of /workspace in GB')
    .option('--description <text>', 'shown in Coder')
    .option(
      '--from-file <file>',
      'JSON or YAML: { name, description, config: { Image, CPU, Memory, Disk } }, or the config',
    )
    .option('--images-lock <file>', `where the image comes from without --image: its "base"; otherwise ${lockFileName}`)
    .option('--out <directory>', 'folder to make it in; otherwise a new private one')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText(
      'after',
      `
Without --image the image is the "base" of the images lock, since no digest is made up here.
Sizes that are not given are 1 core, 2048 MB and 10 GB.

Example:
  outrigger kata template my-template --image ubuntu:24.04 --cpu 2 --memory 4096 --disk 10
`,
    )
    .action((name: string | undefined, flags: KataFlags) => {
      try {
        runKataTemplate(name, flags, { print: (line) => console.log(line), tell: (line) => console.error(line) });
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error;
        console.error(error.message);
        process.exitCode = error.exitCode;
      }
    });
  return command;
}

interface Out {
  readonly print: (line: string) => void;
  readonly tell: (line: string) => void;
}

const fileShape = z.looseObject({
  name: z.string().optional(),
  description: z.string().optional(),
  config: z.looseObject({}).optional(),
});

/** Makes the template that the flags, over the file, ask for. Throws a `CommandFailure`. */
export function runKataTemplate(given: string | undefined, flags: KataFlags, { print, tell }: Out): void {
  if (!['text', 'json'].includes(flags.output)) throw new CommandFailure(2, '--output must be text or json.');
  const file = fromFile(flags.fromFile);
  const name = given ?? file.name;
  if (name === undefined) throw new CommandFailure(2, 'What is it called? Give a name, such as my-template.');
  const own = templateNameFrom(name);
  if (own !== name) tell(`Coder takes letters, digits and single hyphens, so the template is called ${own}.`);
  const config = configOf(file.config, flags);
  for (const warning of warningsOf(config.Image)) tell(`Warning: ${warning}`);
  const folder = generateKataContainerTemplate(own, flags.description ?? file.description ?? '', config, flags.out);
  if (flags.output === 'json') return print(JSON.stringify({ template: own, folder, config }, null, 2));
  print(`Template ${own} is in ${folder}.`);
  print(`Next: \`outrigger template push ${own} --from ${dirname(folder)} --vars-file variables.yaml\` publishes it.`);
}

/** A request of `{ name, description, config }`, or a config alone. */
function fromFile(path: string | undefined) {
  if (path === undefined) return {};
  const result = fileShape.safeParse(parseYaml(readText(path)));
  if (!result.success) throw new CommandFailure(2, `${path} is no JSON or YAML of a template.`);
  const { name, description, config, ...rest } = result.data;
  return { name, description, config: config ?? rest };
}

function configOf(file: Readonly<Record<string, unknown>> = {}, flags: KataFlags): KataContainerConfig {
  const number = (flag: string | undefined): number | undefined => (flag === undefined ? undefined : Number(flag));
  const image = flags.image ?? file['Image'] ?? baseOf(flags.imagesLock);
  return readKataContainerConfig({
    ...{ CPU: 1, Memory: 2048, Disk: 10 },
    ...file,
    ...defined({ Image: image, CPU: number(flags.cpu), Memory: number(flags.memory), Disk: number(flags.disk) }),
  });
}

const defined = (values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

function baseOf(path: string | undefined): string {
  const base = readLock(path ?? join(dirname(templatesDirectory), lockFileName), path !== undefined)?.images.base;
  if (base !== undefined) return base;
  throw new CommandFailure(
    2,
    `Which image? Give --image, pinned by digest, or make ${lockFileName} with \`outrigger template lock\`. No digest is made up here.`,
  );
}

function warningsOf(image: string): readonly string[] {
  const unpinned = isPinned(image)
    ? []
    : [
        `${image} is not pinned by digest, so the same template may start something else tomorrow. The template accepts it because it was asked for here; pin it as ${image.split('@')[0]}@sha256:….`,
      ];
  return [...[endOfLifeOf(image)].filter((one) => one !== undefined), ...unpinned];
}
