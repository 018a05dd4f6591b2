import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { ask, listOf } from './ask.ts';
import { CommandFailure } from './command-failure.ts';
import {
  inProcess,
  organizationQuery,
  reach,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';

const path = '/api/v2/agents/secrets';
const example = `
Examples:
  outrigger secret set ai-credentials --key openrouter < key.txt
  outrigger secret set mine --scope owner --from-file token=token.txt --rotate-after 2027-01-31
  outrigger secret list --workspace my-workspace
  outrigger secret rotate

A value comes from a file or from standard input, never from the command line, where others could read it.
`;

interface SecretFlags extends ServiceFlags {
  readonly scope?: 'organization' | 'owner';
  readonly workspace?: string;
}

interface SetFlags extends SecretFlags {
  readonly key?: string;
  readonly fromFile?: readonly string[];
  readonly rotateAfter?: string;
}

const secret = z.looseObject({
  name: z.string(),
  path: z.string(),
  keys: z.array(z.string()),
  updated_at: z.string(),
  rotate_after: z.string().nullable(),
  overdue: z.boolean(),
});
const rotation = z.looseObject({
  data_keys: z.number(),
  values: z.number(),
  resealed: z.number(),
  not_opened: z.number(),
  keys_in_use: z.array(z.string()),
});

/** `outrigger secret …` */
export function secretCommand(): Command {
  const command = new Command('secret')
    .description('keep keys and tokens that agents work with and never see')
    .addHelpText('after', example);
  const add = (word: string, description: string): Command => {
    const one = withServiceOptions(new Command(word))
      .description(description)
      .option('--scope <scope>', 'organization (default), or owner for your own')
      .option('--workspace <workspace>', 'of one workspace of yours');
    command.addCommand(one);
    return one;
  };
  add('list', 'show names, keys and what is overdue, never a value').action(async (flags: SecretFlags) => {
    process.exitCode = await inProcess(flags, (around) => listSecrets(flags, around));
  });
  add('set', 'write a secret; what it had before is gone')
    .argument('<name>', 'lower-case letters, digits, - and .')
    .option('--key <key>', 'the key of the value on standard input')
    .option('--from-file <key=file...>', 'a key, and the file its value is in')
    .option('--rotate-after <date>', 'from when on it is shown as overdue, such as 2027-01-31')
    .action(async (name: string, flags: SetFlags) => {
      const stdin = (): string => readFileSync(0, 'utf8');
      process.exitCode = await inProcess(flags, (around) => setSecret(name, flags, around, stdin));
    });
  add('delete', 'delete a secret; what refers to it goes without it')
    .argument('<name>')
    .action(async (name: string, flags: SecretFlags) => {
      process.exitCode = await inProcess(flags, async (around) => {
        await reach(flags, around.config).call('DELETE', await at(flags, around, name));
        around.print(visible(`${name} is deleted.`));
      });
    });
  add('rotate', 'seal every value with new keys; nothing stops meanwhile').action(async (flags: SecretFlags) => {
    process.exitCode = await inProcess(flags, (around) => rotateSecrets(flags, around));
  });
  return command;
}

async function at(flags: SecretFlags, around: Surroundings, rest = '', more: Record<string, string> = {}) {
  const query = new URLSearchParams({
    ...(await organizationQuery(flags, around.config)),
    ...(flags.scope === undefined ? {} : { scope: flags.scope }),
    ...(flags.workspace === undefined ? {} : { workspace_id: flags.workspace }),
    ...more,
  });
  const tail = rest === '' ? '' : `/${encodeURIComponent(rest)}`;
  return `${path}${tail}${query.size === 0 ? '' : `?${query.toString()}`}`;
}

/** Prints what there is, without values. Throws a `CommandFailure`. */
export async function listSecrets(flags: SecretFlags, around: Surroundings): Promise<void> {
  const { items } = await ask(flags, around, listOf(secret), 'GET', await at(flags, around));
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('There is no secret. `outrigger secret set NAME --key KEY` writes one.');
  for (const one of items) print(one, around);
}

/** Writes a secret from files, or from `stdin` for the one `--key`. Throws a `CommandFailure`. */
export async function setSecret(
  name: string,
  flags: SetFlags,
  around: Surroundings,
  stdin: () => string,
): Promise<void> {
  const values = new Map<string, string>();
  for (const pair of flags.fromFile ?? []) {
    const [, key = '', file = ''] = /^([^=]+)=(.+)$/s.exec(pair) ?? [];
    if (key === '') throw new CommandFailure(2, `--from-file takes KEY=FILE, and was given ${visible(pair)}.`);
    values.set(key, withoutLineEnd(read(file)));
  }
  if (flags.key !== undefined) values.set(flags.key, withoutLineEnd(stdin()));
  if (values.size === 0)
    throw new CommandFailure(2, 'No value was given. Use --key KEY with the value on standard input, or --from-file.');
  const until = flags.rotateAfter === undefined ? null : new Date(flags.rotateAfter);
  if (until !== null && Number.isNaN(until.getTime()))
    throw new CommandFailure(2, '--rotate-after is no date. Write one such as 2027-01-31.');
  const where = await at(flags, around, name, until === null ? {} : { rotate_after: until.toISOString() });
  const written = await ask(flags, around, secret, 'PUT', where, Object.fromEntries(values));
  if (flags.output === 'json') return around.print(visibleJson(written));
  print(written, around);
}

/** Rotates and says which keys of the ring are still needed. Throws a `CommandFailure`. */
export async function rotateSecrets(flags: SecretFlags, around: Surroundings): Promise<void> {
  const done = await ask(flags, around, rotation, 'POST', await at(flags, around, 'rotate'), {});
  if (flags.output === 'json') return around.print(visibleJson(done));
  around.print(`${done.values} values have new data keys, ${done.resealed} more are sealed with the current key.`);
  around.print(visible(`Keys of the ring in use: ${done.keys_in_use.join(', ') || 'none'}. The others can go.`));
  if (done.not_opened > 0)
    throw new CommandFailure(1, `${done.not_opened} values did not open and stayed as they were: write them again.`);
}

function print(one: z.output<typeof secret>, around: Surroundings): void {
  const due =
    one.rotate_after === null ? '' : `  ${one.overdue ? 'OVERDUE since' : 'rotate after'} ${one.rotate_after}`;
  around.print(visible(`${one.name}  ${one.keys.join(' ')}  written ${one.updated_at}${due}`));
}

/** Whoever writes a key into a file ends the line; a value never ends with one. */
const withoutLineEnd = (text: string): string => text.replace(/\r?\n$/, '');

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CommandFailure(2, `${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}.`);
  }
}
