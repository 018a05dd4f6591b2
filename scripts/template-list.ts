import type { CoderClient, Template, TemplateVersion } from 'coder-sdk-ts';
import Table from 'cli-table3';
import { Command } from 'commander';
import { fail, findTemplate, unless } from './coder-failure.ts';
import { CommandFailure } from './command-failure.ts';
import {
  chooseOrganization,
  connectCoder,
  inProcess,
  withCoderOptions,
  type CoderFlags,
  type Surroundings,
} from './template-context.ts';
import { secretVariable } from './template-variables.ts';

/** One template of Coder's, as it is listed. */
interface Listed {
  readonly name: string;
  readonly version: string;
  readonly organization: string;
  /** Whether it is one of this project's: its active version takes a registration secret. Null: it cannot be seen. */
  readonly ours: boolean | null;
}

/** `outrigger template list` */
export function listCommand(): Command {
  return withCoderOptions(new Command('list'))
    .description("list Coder's templates: name, active version, organization, and whether Outrigger made it")
    .action(async (flags: CoderFlags) => {
      process.exitCode = await inProcess(flags, (around) => runList(flags, around));
    });
}

/** `outrigger template get NAME` */
export function getCommand(): Command {
  return withCoderOptions(new Command('get'))
    .description('show one template of Coder, with the values of its active version')
    .argument('<name>', 'its name in Coder')
    .action(async (name: string, flags: CoderFlags) => {
      process.exitCode = await inProcess(flags, (around) => runGet(name, flags, around));
    });
}

/** Lists every template this person may see, or those of one organization. Throws a `CommandFailure`. */
export async function runList(flags: CoderFlags, { config, print }: Surroundings): Promise<void> {
  const { coder } = connectCoder(config);
  const organization =
    flags.organization === undefined ? undefined : await chooseOrganization(coder, flags.organization);
  const all = await coder.listTemplates().catch(fail);
  const shown = all.filter(({ organization_id: id }) => organization === undefined || id === organization.id);
  const rows: Listed[] = [];
  for (const template of shown) rows.push(await listed(coder, template).catch(fail));
  if (flags.output === 'json') return print(JSON.stringify(rows, null, 2));
  if (rows.length === 0)
    return print('There is no template that you may see. `outrigger template push` makes those of Outrigger.');
  const table = new Table({
    head: ['NAME', 'ACTIVE VERSION', 'ORGANIZATION', 'OUTRIGGER'],
    style: { head: [], border: [] },
  });
  for (const row of rows) table.push([row.name, row.version, row.organization, wordOf(row.ours)]);
  print(table.toString());
}

async function listed(coder: CoderClient, template: Template): Promise<Listed> {
  const version = await coder.getTemplateVersion(template.active_version_id);
  const ours = (await valuesOf(coder, version))?.some(({ name }) => name === secretVariable) ?? null;
  const organization = template.organization_name ?? template.organization_id;
  return { name: template.name, version: version.name, organization, ours };
}

const wordOf = (ours: boolean | null): string => (ours === null ? 'unknown' : ours ? 'yes' : 'no');

const valuesOf = (coder: CoderClient, version: TemplateVersion) =>
  unless(['forbidden', 'not_found'], coder.templateVersionVariables(version.id));

/** Shows one template; sensitive values are never in Coder's answer. Throws a `CommandFailure`. */
export async function runGet(name: string, flags: CoderFlags, { config, print }: Surroundings): Promise<void> {
  const { coder } = connectCoder(config);
  const organization = await chooseOrganization(coder, flags.organization);
  const template = await findTemplate(coder, organization.id, name).catch(fail);
  if (template === null)
    throw new CommandFailure(
      1,
      `There is no template ${name} in ${organization.name}, or you may not see it. \`outrigger template list\` shows those you may.`,
    );
  const version = await coder.getTemplateVersion(template.active_version_id).catch(fail);
  const values = (await valuesOf(coder, version).catch(fail)) ?? [];
  const shown = {
    name: template.name,
    display_name: template.display_name ?? '',
    description: template.description ?? '',
    icon: template.icon ?? '',
    organization: organization.name,
    id: template.id,
    version: version.name,
    version_id: version.id,
    message: version.message ?? '',
    ours: values.some((one) => one.name === secretVariable),
    variables: Object.fromEntries(values.map((one) => [one.name, one.value])),
  };
  if (flags.output === 'json') return print(JSON.stringify(shown, null, 2));
  const { variables, ...rest } = shown;
  for (const [key, value] of Object.entries(rest)) print(`${key}: ${String(value)}`);
  print('variables:');
  for (const [key, value] of Object.entries(variables)) print(`  ${key} = ${value}`);
}
