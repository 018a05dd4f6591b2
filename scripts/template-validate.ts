import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { tokenPrefix } from '../modules/contract.ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';
import { findEntries } from './template-entries.ts';
import { lockFileName, readLock, valuesFromLock } from './template-images.ts';
import { refuseFaults } from './template-lint.ts';
import { packTemplate, sentFiles } from './template-package.ts';
import { withValueOptions, type PushFlags, type Rendering } from './template-push.ts';
import {
  checkValues,
  parseYaml,
  readAssignments,
  readVarsFile,
  secretVariable,
  type Declarations,
} from './template-variables.ts';
import { readText } from './template-context.ts';
import { readTree, replaceTree, type Tree } from './tree.ts';

export type ValidateFlags = Pick<PushFlags, 'var' | 'varsFile' | 'imagesLock' | 'from'> & {
  readonly terraform?: string;
};

/** `outrigger template validate [NAME…]` */
export function validateCommand(rendering: Rendering): Command {
  return withValueOptions(new Command('validate'))
    .description('check templates without Coder: our own rules, then terraform fmt, validate and plan')
    .argument('[names...]', 'which templates; all when none is named')
    .option('--terraform <command>', 'which terraform', 'terraform')
    .addHelpText(
      'after',
      `
Our own rules need nothing. Terraform and its providers are used where they are there, and it is said where not. The plan
is made when values are given for every variable without a default; it asks no Coder and changes nothing.

Exit codes: 0 right, as far as it could be checked · 1 a fault · 2 the input is wrong
`,
    )
    .action((names: string[], flags: ValidateFlags) => {
      try {
        const print = (line: string): void => console.log(line);
        process.exitCode = runValidate(rendering, names, flags, { print }) ?? 0;
      } catch (error) {
        if (!(error instanceof CommandFailure)) throw error;
        console.error(error.message);
        process.exitCode = error.exitCode;
      }
    });
}

/** Checks templates one after the other; 1 where any has a fault. Throws a `CommandFailure` where it cannot be asked. */
export function runValidate(
  rendering: Rendering,
  names: readonly string[],
  flags: ValidateFlags,
  { print }: { readonly print: (line: string) => void },
): ExitCode | void {
  const root = resolve(flags.from ?? rendering.directory);
  let isRight = true;
  for (const entry of findEntries(names, root)) {
    const synthesized = rendering.synthesize(entry);
    const say = (what: string, result: string): void => print(`${entry.name}: ${what}: ${result}`);
    try {
      refuseFaults(entry.name, synthesized);
      say('our rules', 'right');
      const committed = sentFiles(readTree(join(root, entry.name)));
      packTemplate(entry, committed);
      const [main] = rendering.render(entry).values();
      if (committed.get('main.tf') !== main)
        throw new CommandFailure(1, `main.tf is not as it renders. Run \`outrigger template render ${entry.name}\`.`);
      say('rendered', 'as committed');
      const values = valuesFor(rendering, (synthesized['variable'] ?? {}) as Declarations, flags);
      for (const [what, result] of terraformChecks(committed, values, flags.terraform ?? 'terraform'))
        say(what, result);
    } catch (error) {
      if (!(error instanceof CommandFailure) || error.exitCode === 2) throw error;
      isRight = false;
      say('fault', error.message);
    }
  }
  if (!isRight) return 1;
}

/** Null where nobody gives values: then nothing is planned. */
function valuesFor(rendering: Rendering, declared: Declarations, flags: ValidateFlags) {
  if (flags.varsFile === undefined && flags.var.length === 0) return null;
  const lock = readLock(
    flags.imagesLock ?? join(dirname(rendering.directory), lockFileName),
    flags.imagesLock !== undefined,
  );
  const given = {
    ...(lock === null ? {} : valuesFromLock(lock, declared)),
    ...(flags.varsFile === undefined ? {} : readVarsFile(flags.varsFile, readText(flags.varsFile))),
    ...readAssignments(declared, flags.var),
  };
  checkValues(declared, given);
  return { ...given, [secretVariable]: `${tokenPrefix.templateSecret}plan_${'0'.repeat(43)}` };
}

/** Terraform's own checks, in a copy that goes away; a fault is a `CommandFailure` 1. */
function* terraformChecks(
  files: Tree,
  values: Readonly<Record<string, string>> | null,
  terraform: string,
): Generator<readonly [what: string, result: string]> {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-validate-'));
  const run = (...line: readonly string[]) =>
    spawnSync(terraform, line, { cwd: folder, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const must = (what: string, ...line: readonly string[]): void => {
    const { status, stdout, stderr } = run(...line);
    if (status !== 0) throw new CommandFailure(1, `${what}: ${`${stderr}${stdout}`.trim()}`);
  };
  try {
    replaceTree(folder, files);
    if (run('version').error) return yield ['terraform', 'not checked, since there is no terraform in PATH'];
    must('terraform fmt', 'fmt', '-check', '-diff', '-no-color');
    yield ['terraform fmt', 'right'];
    const init = run('init', '-backend=false', '-input=false', '-no-color');
    if (init.status !== 0)
      return yield [
        'terraform validate',
        `not checked, since init failed: ${init.stderr
          .replaceAll(/[\s│╷╵]+/g, ' ')
          .trim()
          .slice(0, 300)}`,
      ];
    must('terraform validate', 'validate', '-no-color');
    yield ['terraform validate', 'right'];
    if (values === null) return yield ['terraform plan', 'not made; give values with --vars-file'];
    writeFileSync(join(folder, 'outrigger.auto.tfvars.json'), JSON.stringify(asTerraform(values)), { mode: 0o600 });
    must('terraform plan', 'plan', '-input=false', '-lock=false', '-refresh=false', '-no-color');
    yield ['terraform plan', 'right'];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Lists and maps as such: in a file of variables their text would be a string. */
const asTerraform = (values: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(values).map(([name, text]) => [name, /^\s*[[{]/.test(text) ? parseYaml(text) : text]),
  );
