import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';

/** One noun: `outrigger <name> …`, in `scripts/<name>.ts`, which exports `<name>Command(): Command`. */
export interface Noun {
  readonly name: string;
  readonly summary: string;
  /** What somebody would type first. */
  readonly example: string;
}

/** Every noun; only those there is a file for are offered, and only the one asked for is loaded. */
export const nouns: readonly Noun[] = [
  { name: 'demo', summary: 'Runs the main job once, from nothing to an audited workflow', example: 'demo' },
  {
    name: 'up',
    summary: 'Joins a Coder: service, images, template, a workspace and one finished task',
    example: 'up --coder https://coder.example.com',
  },
  {
    name: 'doctor',
    summary: 'Looks for what is wrong, and names the command that mends it',
    example: 'doctor workspace my-workspace',
  },
  { name: 'serve', summary: 'Starts the service and keeps it running', example: 'serve' },
  {
    name: 'template',
    summary: 'Renders, checks and publishes templates of Coder',
    example: 'template push docker --dry-run',
  },
  {
    name: 'kata',
    summary: 'Makes templates whose workspaces are virtual machines',
    example: 'kata template my-template --image ubuntu:24.04 --cpu 2 --memory 4096 --disk 10',
  },
  {
    name: 'run',
    summary: 'Gives an agent one task, and waits for its end where asked to',
    example: 'run "Add a test for the parser" --workspace my-workspace --wait',
  },
  { name: 'task', summary: 'Shows, follows and ends tasks', example: 'task list' },
  {
    name: 'workflow',
    summary: 'Runs workflows, shows how they stand, and keeps them under a name',
    example: 'workflow run api-with-tests-and-review -p endpoint="GET /health" --wait',
  },
  {
    name: 'schedule',
    summary: 'Starts tasks and workflows at their times, in any time zone',
    example: 'schedule create -f nightly.yaml',
  },
  {
    name: 'webhook',
    summary: 'Starts tasks and workflows by events of GitHub, GitLab and others',
    example: 'webhook create reviews -f reviews.yaml',
  },
  {
    name: 'apply',
    summary: 'Makes the service say what files say: workflows, agents and what goes with them',
    example: 'apply -f docs/workflows/',
  },
  {
    name: 'export',
    summary: 'Writes what the service keeps as files that apply takes back',
    example: 'export --all -o backup/',
  },
  {
    name: 'import',
    summary: 'Turns schedules of other platforms into files that apply takes',
    example: 'import acp session.yaml',
  },
  {
    name: 'approval',
    summary: 'Shows what your agents ask, and answers them',
    example: 'approval list',
  },
  { name: 'usage', summary: 'Shows what model calls have used, and what they cost', example: 'usage --by model' },
  {
    name: 'secret',
    summary: 'Keeps keys and tokens that agents work with and never see',
    example: 'secret set ai-credentials --key openrouter < key.txt',
  },
  { name: 'audit', summary: 'Verifies the audit and names any row that was tampered with', example: 'audit verify' },
  {
    name: 'executor',
    summary: 'Checks images that workspaces run in',
    example: 'executor doctor IMAGE',
  },
  {
    name: 'backup',
    summary: 'Copies everything the service knows into one file',
    example: 'backup monday.backup --with-keys monday.keys',
  },
  {
    name: 'restore',
    summary: 'Puts a backup into the database of a service that is stopped',
    example: 'restore monday.backup --keys monday.keys',
  },
  { name: 'config', summary: 'Shows the configuration in force, without its secrets', example: 'config print' },
];

const exitCodes =
  'Exit codes: 0 done · 1 failed · 2 a prerequisite is missing or the input is wrong · 124 timed out · 143 stopped\n';

const fileOf = (name: string): string => join(import.meta.dirname, `${name}.ts`);

/** Builds the command for `argv`, as node gives it; the noun that `argv` asks for is complete, the others are named. */
export async function makeProgram(
  argv: readonly string[],
  available = nouns.filter(({ name }) => existsSync(fileOf(name))),
): Promise<Command> {
  const { version, description } = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8'),
  ) as {
    version: string;
    description: string;
  };
  const program = new Command('outrigger')
    .description(description)
    .version(version)
    .helpCommand(false)
    .showHelpAfterError('(outrigger --help lists what there is)')
    .addHelpText(
      'after',
      `\nExamples:\n${available.map(({ example }) => `  outrigger ${example}\n`).join('')}\n${exitCodes}`,
    );
  for (const { name, summary } of available) {
    const command = argv[2] === name ? await load(name) : new Command(name);
    program.addCommand(command.name(name).summary(summary));
  }
  return program;
}

async function load(name: string): Promise<Command> {
  const module = (await import(fileOf(name))) as Record<string, unknown>;
  const make = module[`${name}Command`];
  if (typeof make !== 'function') throw new Error(`scripts/${name}.ts does not export ${name}Command().`);
  return (make as () => Command)();
}

/** Runs one command line and gives its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = await makeProgram(argv);
  exitByThrowing(program);
  if (argv.length <= 2) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    console.error(error instanceof Error ? error.message : error);
    return isPrerequisite(error) ? 2 : 1;
  }
}

/** Subcommands inherit nothing from commander's own exit override once they are added. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) exitByThrowing(child);
}

const isPrerequisite = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'config_invalid';
