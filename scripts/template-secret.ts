import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { Command } from 'commander';
import { CommandFailure } from './command-failure.ts';
import {
  chooseEntries,
  chooseOrganization,
  connect,
  inProcess,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';
import { secretVariable } from './template-variables.ts';

export interface SecretFlags extends ServiceFlags {
  readonly toFile?: string;
  readonly stdout?: boolean;
}

/** `outrigger template secret NAME` */
export function secretCommand(): Command {
  return withServiceOptions(new Command('secret'))
    .description('mint the next secret of a template, to push it by hand; it is shown once')
    .argument('<name>', 'which template')
    .option('--to-file <file>', 'write it into a new file of variables that only you can read')
    .option('--stdout', 'print it; whoever sees the output has it')
    .addHelpText(
      'after',
      `
The secret belongs to the one version it is pushed with. Add the other variables to the file.

Example:
  outrigger template secret docker --to-file variables.yaml
  coder templates push docker --directory templates/docker --variables-file variables.yaml
`,
    )
    .action(async (name: string, flags: SecretFlags) => {
      process.exitCode = await inProcess(flags, (around) => runSecret(name, flags, around));
    });
}

/** Mints one secret and puts it where it was asked for. Throws a `CommandFailure`. */
export async function runSecret(name: string, flags: SecretFlags, around: Surroundings): Promise<void> {
  chooseEntries([name]);
  if ((flags.toFile === undefined) === (flags.stdout !== true))
    throw new CommandFailure(2, 'Where should the secret go? Give --to-file FILE, or --stdout to print it.');
  const { coder, secrets } = connect(flags, around.config);
  const organization =
    flags.organization === undefined ? undefined : await chooseOrganization(coder, flags.organization);
  const mint = () => secrets.mint(name, organization?.id);
  const { kid, secret } = flags.toFile === undefined ? await mint() : await mintIntoFile(flags.toFile, mint);
  const isJson = flags.output === 'json';
  if (flags.toFile !== undefined) {
    const text = `Secret ${kid} of template ${name} is in ${flags.toFile}, as ${secretVariable}. Delete the file after the push.`;
    return around.print(isJson ? JSON.stringify({ kid, file: flags.toFile }, null, 2) : text);
  }
  around.tell(
    'Warning: the next line is a secret. Whoever has it can register as a workspace of this template version.',
  );
  around.print(isJson ? JSON.stringify({ kid, secret }, null, 2) : secret);
}

/** The file is made before the secret, so that no secret is minted that cannot be kept. */
async function mintIntoFile<Minted extends { readonly secret: string }>(
  path: string,
  mint: () => Promise<Minted>,
): Promise<Minted> {
  const file = openNew(path);
  try {
    const minted = await mint();
    writeSync(file, `${secretVariable}: ${minted.secret}\n`);
    return minted;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new CommandFailure(2, `${path} cannot be made: ${code}. Name a file that is not there yet.`, { cause });
  }
}
