import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import type { JsonObject } from '../modules/hcl/values.ts';
import type { Config } from '../service/config.ts';
import { isLoopbackUrl } from '../service/config-settings.ts';
import type { TemplateEntry } from '../stacks/templates.ts';
import { CommandFailure } from './command-failure.ts';
import { findTemplate } from './coder-failure.ts';
import { makePace, uploadPace } from './push-pace.ts';
import { reporterOf } from './push-report.ts';
import { pushTemplates } from './push-template.ts';
import {
  chooseOrganization,
  connect,
  inProcess,
  readText,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';
import { findEntries } from './template-entries.ts';
import { endOfLifeOf, lockFileName, readLock, valuesFromLock, type Lock } from './template-images.ts';
import { refuseFaults } from './template-lint.ts';
import { checkVersionName } from './template-names.ts';
import { packTemplate, sentFiles, type TemplatePackage } from './template-package.ts';
import {
  checkNames,
  checkValues,
  imagesIn,
  readAssignments,
  readVarsFile,
  sensitiveNames,
  type Declarations,
  type Values,
} from './template-variables.ts';
import { compareTrees, readTree, type Tree } from './tree.ts';

/** How templates come out of `stacks/`, and where they are committed. */
export interface Rendering {
  readonly directory: string;
  readonly synthesize: (entry: TemplateEntry) => JsonObject;
  readonly render: (entry: TemplateEntry) => Tree;
}

export interface PushFlags extends ServiceFlags {
  readonly var: readonly string[];
  readonly varsFile?: string;
  readonly imagesLock?: string;
  readonly versionName?: string;
  readonly message?: string;
  readonly timeout: string;
  readonly from?: string;
  readonly dryRun?: boolean;
  /** @default true */
  readonly activate?: boolean;
  readonly force?: boolean;
  readonly takeOver?: boolean;
}

/** A template as it would be sent. */
interface Prepared {
  readonly name: string;
  readonly package: TemplatePackage;
  readonly declared: Declarations;
  readonly values: Values;
}

const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];

export const withValueOptions = (command: Command): Command =>
  command
    .option('--var <name=value>', 'value of a variable; may be given several times', collect, [])
    .option('--vars-file <file>', 'YAML or JSON with values of variables; --var goes over it')
    .option('--images-lock <file>', `images by name and digest; otherwise ${lockFileName} where there is one`)
    .option('--from <directory>', 'folder that holds one folder for each template, instead of templates/');

const pushOptions = (command: Command): Command =>
  withValueOptions(withServiceOptions(command))
    .option('--version-name <name>', "name of the version; otherwise Coder's choice")
    .option('--message <text>', 'what changed, shown in Coder')
    .option('--timeout <seconds>', 'how long an import may take', '900')
    .option('--dry-run', 'send nothing; show what would be sent');

const exitCodes =
  'Exit codes: 0 done · 1 refused or failed, nothing became active · 2 something is missing or wrong · 124 timed out';

/** `outrigger template push [NAME…]` */
export function pushCommand(rendering: Rendering): Command {
  return pushOptions(new Command('push'))
    .description('make a version of templates in Coder, each with a secret of its own, and make them active')
    .argument('[names...]', 'which templates; all when none is named')
    .option('--activate', 'make the versions active; it is what happens without it too')
    .option('--no-activate', 'leave the versions before active')
    .option('--force', 'make a version even where the active one holds the same')
    .option('--take-over', 'push even a template that the stack coder-catalog published')
    .addHelpText(
      'after',
      `
A template whose active version holds the same files and values is left alone, and keeps its secret.
Values come from the images lock, then --vars-file, then --var. outrigger_url is OUTRIGGER_URL where it is not given,
container_runtime and Kata's runtime_class are KATA_DOCKER_RUNTIME and KATA_RUNTIME_CLASS.
CODER_URL and CODER_SESSION_TOKEN say who pushes, and where.

${exitCodes}

Example:
  outrigger template push docker --vars-file docker.yaml --message "devbox 2"
`,
    )
    .action(async (names: string[], flags: PushFlags) => {
      process.exitCode = await inProcess(flags, (around) => runPush(rendering, names, flags, around));
    });
}

/** `outrigger template create NAME` */
export function createCommand(rendering: Rendering): Command {
  return pushOptions(new Command('create'))
    .description('make a template in Coder that is not there yet: the first push')
    .argument('<name>', 'which template')
    .addHelpText('after', `\n${exitCodes}\n\nExample:\n  outrigger template create docker --vars-file docker.yaml\n`)
    .action(async (name: string, flags: PushFlags) => {
      process.exitCode = await inProcess(flags, (around) => runCreate(rendering, name, flags, around));
    });
}

/** Refuses where Coder has a template of that name. Throws a `CommandFailure`. */
export async function runCreate(
  rendering: Rendering,
  name: string,
  flags: PushFlags,
  around: Surroundings,
): Promise<void> {
  if (flags.dryRun !== true) {
    const { coder } = connect(flags, around.config);
    const { id } = await chooseOrganization(coder, flags.organization);
    if ((await findTemplate(coder, id, name)) !== null)
      throw new CommandFailure(
        1,
        `Template ${name} is in Coder already. \`outrigger template push ${name}\` makes a version of it.`,
      );
  }
  await runPush(rendering, [name], { ...flags, activate: true }, around);
}

/** Pushes templates; everything that can be wrong here is looked for before anything is sent. Throws a `CommandFailure`. */
export async function runPush(
  rendering: Rendering,
  names: readonly string[],
  flags: PushFlags,
  around: Surroundings,
): Promise<void> {
  const timeoutMs = Number(flags.timeout) * 1000;
  if (!(timeoutMs > 0)) throw new CommandFailure(2, '--timeout is a number of seconds.');
  if (flags.versionName !== undefined) checkVersionName(flags.versionName);
  const prepared = prepare(rendering, names, flags, around);
  const report = reporterOf(flags.output, around.print, names.length === 1);
  if (flags.dryRun === true) return report.dry(prepared);
  const { coder, secrets } = connect(flags, around.config);
  const organization = await chooseOrganization(coder, flags.organization);
  const { tell, signal, clock, pollMs } = around;
  const pace = makePace({ ...uploadPace, clock, signal, tell });
  report.done(
    await pushTemplates(
      prepared.map(({ declared, ...one }) => ({
        ...one,
        sensitive: sensitiveNames(declared),
        organization,
        versionName: flags.versionName,
        message: flags.message,
        activate: flags.activate ?? true,
        force: flags.force ?? false,
        takeOver: flags.takeOver ?? false,
        ...{ coder, secrets, tell, signal, clock, pace, pollMs, timeoutMs },
      })),
    ),
  );
}

function prepare(
  rendering: Rendering,
  names: readonly string[],
  flags: PushFlags,
  around: Surroundings,
): readonly Prepared[] {
  const root = resolve(flags.from ?? rendering.directory);
  const lock = readLock(
    flags.imagesLock ?? join(dirname(rendering.directory), lockFileName),
    flags.imagesLock !== undefined,
  );
  const entries = findEntries(names, root).map((entry) => {
    const synthesized = rendering.synthesize(entry);
    refuseFaults(entry.name, synthesized);
    const declared = (synthesized['variable'] ?? {}) as Declarations;
    return { entry, declared, pack: packTemplate(entry, renderedFiles(entry, join(root, entry.name), rendering)) };
  });
  const everywhere = Object.assign({}, ...entries.map(({ declared }) => declared)) as Declarations;
  const given = givenValues(everywhere, flags);
  if (entries.length > 1) checkNames(everywhere, given);
  return entries.map(({ entry, declared, pack }) => {
    const isAlone = entries.length === 1;
    const own = isAlone ? given : Object.fromEntries(Object.entries(given).filter(([name]) => name in declared));
    const values = valuesOf(declared, own, lock, flags, around);
    return { name: entry.name, package: pack, declared, values };
  });
}

/** What would be sent, if it is exactly what `stacks/` render; files that are never sent may lie beside it. */
function renderedFiles(entry: TemplateEntry, folder: string, { render }: Rendering): Tree {
  const files = sentFiles(readTree(folder));
  const handWritten = [...files].filter(([path]) => path === 'README.md' || path === '.terraform.lock.hcl');
  const wanted: Tree = new Map([...handWritten, ...render(entry)]);
  const differences = compareTrees(files, wanted).map(({ path, kind }) => `${path} (${kind})`);
  if (differences.length === 0) return files;
  throw new CommandFailure(
    1,
    `Template ${entry.name} is not as it renders: ${differences.join(', ')}. Run \`outrigger template render ${entry.name}\`, review the change and commit it.`,
  );
}

/** What the person gives for all templates together; a name that none of them has is refused. */
function givenValues(declared: Declarations, flags: PushFlags): Values {
  return {
    ...(flags.varsFile === undefined ? {} : readVarsFile(flags.varsFile, readText(flags.varsFile))),
    ...readAssignments(declared, flags.var),
  };
}

/** The runtimes of Kata that the configuration names, for the template that asks for them. */
function runtimesOf(declared: Declarations, { runtimeClass, dockerRuntime }: Config['kata']): Values {
  return {
    ...(dockerRuntime === undefined || declared['container_runtime'] === undefined
      ? {}
      : { container_runtime: dockerRuntime }),
    ...(runtimeClass === undefined || declared['node_kernels'] === undefined ? {} : { runtime_class: runtimeClass }),
  };
}

function valuesOf(
  declared: Declarations,
  given: Values,
  lock: Lock | null,
  flags: PushFlags,
  { config, tell }: Surroundings,
): Values {
  const publicUrl = config.publicUrl ?? flags.service;
  const values: Values = {
    ...(lock === null ? {} : valuesFromLock(lock, declared)),
    ...(publicUrl === undefined ? {} : { outrigger_url: publicUrl.replace(/\/+$/, '') }),
    ...runtimesOf(declared, config.kata),
    ...given,
  };
  checkValues(declared, values);
  const url = values['outrigger_url'] ?? '';
  if (URL.canParse(url) && isLoopbackUrl(url))
    tell(`Warning: in a workspace ${url} is the workspace itself. Give an address that it can reach: OUTRIGGER_URL.`);
  for (const warning of imagesIn(values).flatMap((image) => endOfLifeOf(image) ?? [])) tell(`Warning: ${warning}`);
  return values;
}
