import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createClient, type CoderClient } from 'coder-sdk-ts';
import { Command } from 'commander';
import type { JsonObject } from '../modules/hcl/values.ts';
import { isLoopbackUrl } from '../service/config-settings.ts';
import { loadConfigFromProcess, type Config } from '../service/config.ts';
import { templates, type TemplateEntry } from '../stacks/templates.ts';
import { CommandFailure } from './command-failure.ts';
import { reporterOf } from './push-report.ts';
import { asFailure, pushTemplate } from './push-template.ts';
import { makeTemplateSecretClient, type TemplateSecretClient } from './service-client.ts';
import { packTemplate, sentFiles } from './template-package.ts';
import { checkValues, readAssignments, readVarsFile, type Declarations, type Values } from './template-variables.ts';
import { compareTrees, readTree, type Tree } from './tree.ts';

/** How templates come out of `stacks/`, and where they are committed. */
export interface Rendering {
  readonly directory: string;
  readonly synthesize: (entry: TemplateEntry) => JsonObject;
  readonly render: (entry: TemplateEntry) => Tree;
}

export interface ServiceFlags {
  readonly config?: string;
  readonly service?: string;
  readonly organization?: string;
  readonly output: string;
}

export interface PushFlags extends ServiceFlags {
  readonly var: readonly string[];
  readonly varsFile?: string;
  readonly versionName?: string;
  readonly message?: string;
  readonly timeout: string;
  readonly from?: string;
  readonly dryRun?: boolean;
}

/** What a command has around it; tests give their own. */
export interface Surroundings {
  readonly config: Config;
  /** Results. */
  readonly print: (line: string) => void;
  /** Progress and warnings. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
  readonly pollMs: number;
}

/** `outrigger template push NAME` */
export function pushCommand(rendering: Rendering): Command {
  const collect = (value: string, all: readonly string[]): readonly string[] => [...all, value];
  return withServiceOptions(new Command('push'))
    .description('make a version of a template in Coder, with a secret of its own, and make it the active one')
    .argument('<name>', 'which template')
    .option('--var <name=value>', 'value of a variable; may be given several times', collect, [])
    .option('--vars-file <file>', 'YAML or JSON with values of variables; --var goes over it')
    .option('--version-name <name>', "name of the version; otherwise Coder's choice")
    .option('--message <text>', 'what changed, shown in Coder')
    .option('--timeout <seconds>', 'how long the import may take', '900')
    .option('--from <directory>', 'folder that holds one folder for each template, instead of templates/')
    .option('--dry-run', 'send nothing; show what would be sent')
    .addHelpText(
      'after',
      `
The image variables and OUTRIGGER_URL have no default. CODER_URL and CODER_SESSION_TOKEN say who pushes, and where.

Exit codes: 0 active · 1 refused or failed, nothing changed · 2 something is missing or wrong · 124 timed out

Example:
  outrigger template push docker --vars-file docker.yaml --message "devbox 2"
`,
    )
    .action(async (name: string, flags: PushFlags) => {
      process.exitCode = await inProcess(flags, (around) => runPush(rendering, name, flags, around));
    });
}

export function withServiceOptions(command: Command): Command {
  return command
    .option('--service <url>', 'the running service; otherwise OUTRIGGER_URL, else where it listens on this machine')
    .option('--organization <name>', 'organization in Coder; needed by members of several')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('-o, --output <format>', 'text or json', 'text');
}

/** Runs a command with this process around it; its exit code. */
export async function inProcess(flags: ServiceFlags, run: (around: Surroundings) => Promise<void>): Promise<number> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void =>
    controller.abort(new CommandFailure(signal === 'SIGINT' ? 130 : 143, `Stopped by ${signal}.`));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    if (!['text', 'json'].includes(flags.output)) throw new CommandFailure(2, '--output must be text or json.');
    const config = loadConfigFromProcess(flags.config);
    await run({
      config,
      print: (line) => console.log(line),
      tell: (line) => console.error(line),
      signal: controller.signal,
      pollMs: 500,
    });
    return 0;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    console.error(error.message);
    return error.exitCode;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Pushes one template. Throws a `CommandFailure`. */
export async function runPush(
  rendering: Rendering,
  name: string,
  flags: PushFlags,
  around: Surroundings,
): Promise<void> {
  const entry = findEntry(name);
  const timeoutMs = Number(flags.timeout) * 1000;
  if (!(timeoutMs > 0)) throw new CommandFailure(2, '--timeout is a number of seconds.');
  const folder = join(resolve(flags.from ?? rendering.directory), name);
  const pack = packTemplate(entry, renderedFiles(entry, folder, rendering));
  const declared = (rendering.synthesize(entry)['variable'] ?? {}) as Declarations;
  const values = gatherValues(declared, flags, around);
  const report = reporterOf(flags.output, around.print);
  if (flags.dryRun === true) return report.dry(name, pack, values, declared);
  const { coder, secrets } = connect(flags, around.config);
  const organization = await chooseOrganization(coder, flags.organization);
  report.done(
    await pushTemplate({
      name,
      package: pack,
      values,
      organization,
      versionName: flags.versionName,
      message: flags.message,
      coder,
      secrets,
      tell: around.tell,
      signal: around.signal,
      timeoutMs,
      pollMs: around.pollMs,
    }),
  );
}

export function findEntry(name: string): TemplateEntry {
  const entry = templates.find((one) => one.name === name);
  if (entry !== undefined) return entry;
  const known = templates.map((one) => one.name).join(', ');
  throw new CommandFailure(2, `There is no template ${name}. Known: ${known}.`);
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

function gatherValues(declared: Declarations, flags: PushFlags, { config, tell }: Surroundings): Values {
  const publicUrl = config.publicUrl ?? flags.service;
  const values: Values = {
    ...(publicUrl === undefined ? {} : { outrigger_url: publicUrl.replace(/\/+$/, '') }),
    ...(flags.varsFile === undefined ? {} : readVarsFile(flags.varsFile, readText(flags.varsFile))),
    ...readAssignments(declared, flags.var),
  };
  checkValues(declared, values);
  const url = values['outrigger_url'] ?? '';
  if (URL.canParse(url) && isLoopbackUrl(url))
    tell(`Warning: in a workspace ${url} is the workspace itself. Give an address that it can reach: OUTRIGGER_URL.`);
  return values;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CommandFailure(2, `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'unknown'}.`);
  }
}

/** Coder and the service, both as the person. */
export function connect(flags: ServiceFlags, config: Config): { coder: CoderClient; secrets: TemplateSecretClient } {
  const { isConfigured, url: coderUrl, sessionToken: token, timeoutSeconds } = config.coder;
  if (!isConfigured) throw new CommandFailure(2, 'Which Coder? Set CODER_URL.');
  if (token === undefined)
    throw new CommandFailure(2, 'Who pushes? Set CODER_SESSION_TOKEN; `coder tokens create` makes one.');
  const { host, port } = config.listen;
  const local = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const url = (flags.service ?? config.publicUrl ?? local).replace(/\/+$/, '');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new CommandFailure(2, '--service is an http:// or https:// URL.');
  if (url.startsWith('http:') && !isLoopbackUrl(url) && !config.allowInsecureHttp)
    throw new CommandFailure(
      2,
      `${url} would carry your token in the clear. Use https, or set ALLOW_INSECURE_HTTP=true in a network you trust.`,
    );
  return {
    coder: createClient({ url: coderUrl, token, timeoutMs: timeoutSeconds * 1000 }),
    secrets: makeTemplateSecretClient({ url, token }),
  };
}

/** The organization of that name or id; without one, the only one the person belongs to. */
export async function chooseOrganization(
  coder: CoderClient,
  asked: string | undefined,
): Promise<{ id: string; name: string }> {
  const all = await coder.organizations().catch((error: unknown) => {
    throw asFailure(error);
  });
  const chosen = asked === undefined ? all : all.filter(({ id, name }) => asked === id || asked === name);
  const [only, second] = chosen;
  if (only !== undefined && second === undefined) return { id: only.id, name: only.name };
  const names = all.map(({ name }) => name).join(', ') || 'none';
  throw new CommandFailure(2, `Which organization? You belong to: ${names}. Name one with --organization.`);
}
