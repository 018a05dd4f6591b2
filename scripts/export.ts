import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { stringify } from 'yaml';
import { definitionPath } from './workflow-definition.ts';
import { isFields, type Fields } from './apply/manifests.ts';
import { servicePath } from './apply/plan.ts';
import { CommandFailure } from './command-failure.ts';
import { notOurs, type ServiceCall } from './service-client.ts';
import { inProcess, organizationQuery, reach, type ServiceFlags, type Surroundings } from './template-context.ts';

export interface ExportFlags extends Omit<ServiceFlags, 'output'> {
  readonly all?: true;
  /** A folder; without it everything is printed. */
  readonly output?: string;
}

/** `outrigger export` */
export function exportCommand(): Command {
  return new Command('export')
    .description('write what the service keeps as files that `outrigger apply` takes back')
    .argument('[things...]', 'kind and name, such as Workflow/nightly-update')
    .option('--all', 'every definition, agent and template of the organization, and your schedules')
    .option('-o, --output <folder>', 'one file for each in this folder, instead of printing them')
    .option('--organization <name>', 'organization in Coder; needed by members of several')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('--service <url>', 'the running service; otherwise OUTRIGGER_URL, else where it listens on this machine')
    .addHelpText(
      'after',
      '\nNo value of a secret is exported, and no task: agents keep their references.\n\nExample:\n  outrigger export --all -o backup/\n  outrigger apply -f backup/\n',
    )
    .action(async (things: readonly string[], flags: ExportFlags) => {
      const shared = { ...flags, output: 'text' };
      process.exitCode = await inProcess(shared, (around) => exportThings(things, flags, around));
    });
}

/** Writes or prints what was asked for. Throws a `CommandFailure`. */
export async function exportThings(things: readonly string[], flags: ExportFlags, around: Surroundings): Promise<void> {
  if ((flags.all === true) === things.length > 0)
    throw new CommandFailure(2, 'Say what to export: --all, or things such as Workflow/nightly-update.');
  const { call, url } = reach({ ...flags, output: 'text' }, around.config);
  const query = await organizationQuery({ ...flags, output: 'text' }, around.config);
  const all = await readAll(call, url, query);
  const wanted = flags.all === true ? all : things.map((thing) => pick(all, thing));
  if (wanted.length === 0) return around.tell('There is nothing to export.');
  const texts = wanted.map((one) => ({ ...one, text: stringify(one.manifest, { lineWidth: 0 }) }));
  if (flags.output === undefined) return around.print(texts.map(({ text }) => text.trimEnd()).join('\n---\n'));
  mkdirSync(flags.output, { recursive: true });
  for (const { title, text } of texts) {
    const file = join(flags.output, `${title.toLowerCase().replace('/', '-')}.yaml`);
    writeFileSync(file, text);
    around.print(file);
  }
}

interface Exported {
  /** Kind and name. */
  readonly title: string;
  readonly manifest: Fields;
}

/** Everything that apply could write, without what is the service's own to say. */
async function readAll(
  call: ServiceCall,
  url: string,
  query: Readonly<Record<string, string>>,
): Promise<readonly Exported[]> {
  const list = (path: string): Promise<readonly Fields[]> => everyPage(call, url, path, query);
  const limits = (await list('/limits')).filter((one) => one['kind'] === 'agent');
  const templates = await list('/agent-templates');
  const agents = (await list('/agent-entries')).map((one) => withLimits(one, limits));
  const names = (await list('/definitions')).map((one) => String(one['name']));
  const workflows: unknown[] = [];
  for (const name of names.sort()) workflows.push(await call('GET', definitionPath(name, '', query)));
  const schedules = await list('/schedules');
  return [...templates, ...agents, ...workflows, ...schedules].map((one) => {
    if (!isFields(one) || !isFields(one['metadata'])) throw notOurs(url);
    const { apiVersion, kind, metadata, spec } = one;
    return {
      title: `${String(kind)}/${String(one['metadata']['name'])}`,
      manifest: { apiVersion, kind, metadata, spec },
    };
  });
}

async function everyPage(
  call: ServiceCall,
  url: string,
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<readonly Fields[]> {
  const items: Fields[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Readonly<Record<string, string>> = { ...query, limit: '200', ...(cursor === '' ? {} : { cursor }) };
    const answer = await call('GET', servicePath(path, page));
    if (!isFields(answer) || !Array.isArray(answer['items'])) throw notOurs(url);
    items.push(...(answer['items'] as Fields[]));
    cursor = typeof answer['next_cursor'] === 'string' ? answer['next_cursor'] : null;
  }
  return items;
}

/** The limits of an agent stand in its manifest. */
function withLimits(agent: Fields, limits: readonly Fields[]): Fields {
  const name = isFields(agent['metadata']) ? agent['metadata']['name'] : undefined;
  const limit = limits.find((one) => one['target'] === name);
  if (!limit || !isFields(agent['spec'])) return agent;
  const { maxConcurrentTasks, quota, standby } = limit;
  const own = {
    ...(maxConcurrentTasks === undefined ? {} : { maxConcurrentTasks }),
    ...(quota === undefined ? {} : { quota }),
    ...(standby === undefined ? {} : { standby }),
  };
  return { ...agent, spec: { ...agent['spec'], ...own } };
}

function pick(all: readonly Exported[], thing: string): Exported {
  const found = all.find(({ title }) => title.toLowerCase() === thing.toLowerCase());
  if (found) return found;
  const known = all.map(({ title }) => title).join(', ') || 'nothing';
  throw new CommandFailure(1, `There is no ${thing}. There is: ${known}.`);
}
