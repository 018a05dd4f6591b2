import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { fail, findTemplate } from './coder-failure.ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';
import { filesOf, readActiveVersion } from './push-unchanged.ts';
import {
  chooseOrganization,
  connectCoder,
  inProcess,
  withCoderOptions,
  type CoderFlags,
  type Surroundings,
} from './template-context.ts';
import { findEntries } from './template-entries.ts';
import { sentFiles } from './template-package.ts';
import type { Rendering } from './template-push.ts';
import { compareTrees, readTree, replaceTree, type Tree } from './tree.ts';

export interface DiffFlags extends CoderFlags {
  readonly from?: string;
}

/** `outrigger template diff [NAME…]` */
export function diffCommand(rendering: Rendering): Command {
  return withCoderOptions(new Command('diff'))
    .description('show what a push would change in the files of templates')
    .argument('[names...]', 'which templates; all when none is named')
    .option('--from <directory>', 'folder that holds one folder for each template, instead of templates/')
    .addHelpText('after', '\nExit codes: 0 the same · 1 they differ, or it failed · 2 something is missing or wrong\n')
    .action(async (names: string[], flags: DiffFlags) => {
      process.exitCode = await inProcess(flags, (around) => runDiff(rendering, names, flags, around));
    });
}

/** Compares what would be sent with what is active in Coder; 1 where any differs. Throws a `CommandFailure`. */
export async function runDiff(
  rendering: Rendering,
  names: readonly string[],
  flags: DiffFlags,
  { config, print, tell }: Surroundings,
): Promise<ExitCode | void> {
  const root = resolve(flags.from ?? rendering.directory);
  const entries = findEntries(names, root);
  const { coder } = connectCoder(config);
  const organization = await chooseOrganization(coder, flags.organization);
  const results: { readonly template: string; readonly version: string | null; readonly diff: string }[] = [];
  for (const entry of entries) {
    const template = await findTemplate(coder, organization.id, entry.name).catch(fail);
    const version = template === null ? null : await readActiveVersion(coder, template).catch(fail);
    const active = version === null ? new Map<string, string>() : await filesOf(coder, version).catch(fail);
    if (active === null)
      throw new CommandFailure(
        1,
        `You may not read the files of template ${entry.name} in Coder; that takes a template admin.`,
      );
    const sent: Tree = new Map([...sentFiles(readTree(join(root, entry.name))), ...rendering.render(entry)]);
    results.push({ template: entry.name, version: version?.name ?? null, diff: diffOf(active, sent) });
  }
  if (flags.output === 'json') print(JSON.stringify(results, null, 2));
  else
    for (const { template, version, diff } of results) {
      tell(
        version === null ? `Template ${template} is not in Coder.` : `Template ${template}, active version ${version}:`,
      );
      print(diff === '' ? `same      ${template}` : diff.trimEnd());
    }
  if (results.some(({ diff }) => diff !== '')) return 1;
}

/** What turns one tree into the other, as git writes it; empty when they are the same. */
function diffOf(before: Tree, after: Tree): string {
  if (compareTrees(before, after).length === 0) return '';
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-diff-'));
  try {
    replaceTree(join(folder, 'coder'), before);
    replaceTree(join(folder, 'here'), after);
    const options = ['--no-index', '--no-color', '--no-ext-diff', '--no-textconv', '--no-prefix'];
    const { stdout, error } = spawnSync('git', ['diff', ...options, 'coder', 'here'], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      // Nothing of the person's own settings changes what is shown.
      env: { PATH: process.env['PATH'], GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    });
    if (error)
      throw new CommandFailure(2, 'The difference is shown with git, and there is no git in PATH. Install it.');
    return stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
