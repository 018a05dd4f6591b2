import { Command } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { CommandFailure } from './command-failure.ts';
import { notOurs } from './service-client.ts';
import {
  inProcess,
  organizationQuery,
  reach,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';

export const definitionsPath = '/api/v2/agents/definitions';

export const definitionPath = (name: string, rest = '', query: Readonly<Record<string, string>> = {}): string => {
  const text = new URLSearchParams(query).toString();
  return `${definitionsPath}/${encodeURIComponent(name)}${rest}${text === '' ? '' : `?${text}`}`;
};

/** The subcommands of `outrigger workflow` that are about stored definitions. */
export function definitionCommands(): readonly Command[] {
  const definitions = withServiceOptions(new Command('definitions'))
    .description('show what is stored under a name, to be run again')
    .action(async (flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listDefinitions(flags, around));
    });
  const versions = withServiceOptions(new Command('versions'))
    .description('show every version of a definition, the newest first')
    .argument('<name>', 'which definition')
    .action(async (name: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listVersions(name, flags, around));
    });
  const rollback = withServiceOptions(new Command('rollback'))
    .description('bring back an earlier version of a definition as its newest')
    .argument('<name>', 'which definition')
    .requiredOption('--to <version>', 'which version, as `workflow versions` shows it')
    .addHelpText('after', '\nExample:\n  outrigger workflow rollback nightly-update --to 3\n')
    .action(async (name: string, flags: RollbackFlags) => {
      process.exitCode = await inProcess(flags, (around) => rollBack(name, flags, around));
    });
  return [definitions, versions, rollback];
}

export interface RollbackFlags extends ServiceFlags {
  readonly to: string;
}

const definition = z.looseObject({
  name: z.string(),
  version: z.number(),
  description: z.string().nullable(),
  parameters: z.array(z.looseObject({ name: z.string(), default: z.string().optional() })),
});
const version = z.looseObject({
  version: z.number(),
  created_at: z.string(),
  created_by: z.string(),
  restored_from: z.number().nullable(),
});
const written = z.looseObject({ change: z.string(), status: z.looseObject({ version: z.number() }) });

/** Prints the definitions of the organization. Throws a `CommandFailure`. */
export async function listDefinitions(flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config);
  const query = new URLSearchParams({ limit: '200', ...(await organizationQuery(flags, around.config)) });
  const found = z
    .object({ items: z.array(definition) })
    .safeParse(await call('GET', `${definitionsPath}?${query.toString()}`));
  if (!found.success) throw notOurs(url);
  const { items } = found.data;
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('Nothing is stored. `outrigger apply -f FILE` stores a workflow.');
  for (const one of items) {
    const asks = one.parameters.map(({ name, default: usual }) => (usual === undefined ? name : `[${name}]`)).join(' ');
    const rest = [asks, visible(one.description ?? '')].filter((text) => text !== '').join('  ');
    around.print(`${one.name.padEnd(32)}  v${String(one.version).padEnd(4)}  ${rest}`.trimEnd());
  }
}

/** Prints the versions of a definition. Throws a `CommandFailure`. */
export async function listVersions(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config);
  const query = { limit: '200', ...(await organizationQuery(flags, around.config)) };
  const found = z
    .object({ items: z.array(version) })
    .safeParse(await call('GET', definitionPath(name, '/versions', query)));
  if (!found.success) throw notOurs(url);
  if (flags.output === 'json') return around.print(visibleJson(found.data.items));
  for (const { version: number, created_at: at, created_by: by, restored_from: from } of found.data.items)
    around.print(`v${String(number).padEnd(4)}  ${at}  ${by}${from === null ? '' : `  as v${from}`}`);
}

/** Brings back an earlier version. Throws a `CommandFailure`. */
export async function rollBack(name: string, flags: RollbackFlags, around: Surroundings): Promise<void> {
  if (!/^[1-9]\d{0,8}$/.test(flags.to))
    throw new CommandFailure(2, `--to is the number of a version, not "${flags.to}".`);
  const { call, url } = reach(flags, around.config);
  const query = await organizationQuery(flags, around.config);
  const answer = written.safeParse(
    await call('POST', definitionPath(name, '/rollback', query), { to: Number(flags.to) }),
  );
  if (!answer.success) throw notOurs(url);
  const { change, status } = answer.data;
  if (flags.output === 'json') return around.print(visibleJson(answer.data));
  around.print(
    change === 'unchanged'
      ? `${name} already says what v${flags.to} said; it is v${status.version}.`
      : `${name} is v${status.version} now, as v${flags.to} was.`,
  );
}
