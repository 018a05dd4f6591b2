import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient, type CoderClient } from 'coder-sdk-ts';
import type { Command } from 'commander';
import { isLoopbackUrl } from '../service/config-settings.ts';
import { loadConfigFromProcess, type Config } from '../service/config.ts';
import { templates, type TemplateEntry } from '../stacks/templates.ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';
import { asFailure } from './coder-failure.ts';
import {
  makeServiceCall,
  makeTemplateSecretClient,
  type ServiceCall,
  type TemplateSecretClient,
  type ServiceAccess,
} from './service-client.ts';

/** Options of every command that talks to Coder. */
export interface CoderFlags {
  readonly config?: string;
  readonly organization?: string;
  readonly output: string;
}

/** Options of every command that talks to the service as well. */
export interface ServiceFlags extends CoderFlags {
  readonly service?: string;
}

/** Time as a command sees it; a test gives its own. */
export interface Clock {
  readonly nowMs: () => number;
  /** Ends early when the signal does. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
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
  readonly clock: Clock;
}

export const processClock: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms, signal) => wait(ms, undefined, { signal }).catch(() => signal.throwIfAborted()),
};

export function withCoderOptions(command: Command): Command {
  return command
    .option('--organization <name>', 'organization in Coder; needed by members of several')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('-o, --output <format>', 'text or json', 'text');
}

export function withServiceOptions(command: Command): Command {
  return withCoderOptions(command).option(
    '--service <url>',
    'the running service; otherwise OUTRIGGER_URL, else where it listens on this machine',
  );
}

/** Runs a command with this process around it; its exit code, which is `run`'s own or 0. */
export async function inProcess(
  flags: CoderFlags,
  run: (around: Surroundings) => Promise<ExitCode | void>,
): Promise<number> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void =>
    controller.abort(new CommandFailure(signal === 'SIGINT' ? 130 : 143, `Stopped by ${signal}.`));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    if (!['text', 'json'].includes(flags.output)) throw new CommandFailure(2, '--output must be text or json.');
    const ended = await run({
      config: loadConfigFromProcess(flags.config),
      print: (line) => console.log(line),
      tell: (line) => console.error(line),
      signal: controller.signal,
      pollMs: 500,
      clock: processClock,
    });
    return ended ?? 0;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    console.error(error.message);
    return error.exitCode;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Coder, as the person. */
export function connectCoder(config: Config): { readonly coder: CoderClient; readonly token: string } {
  const { isConfigured, url, sessionToken: token, timeoutSeconds } = config.coder;
  if (!isConfigured) throw new CommandFailure(2, 'Which Coder? Set CODER_URL.');
  if (token === undefined)
    throw new CommandFailure(2, 'Who asks? Set CODER_SESSION_TOKEN; `coder tokens create` makes one.');
  return { coder: createClient({ url, token, timeoutMs: timeoutSeconds * 1000 }), token };
}

/** Coder and the service, both as the person. */
export function connect(flags: ServiceFlags, config: Config): { coder: CoderClient; secrets: TemplateSecretClient } {
  const { coder, token } = connectCoder(config);
  return { coder, secrets: makeTemplateSecretClient({ url: serviceUrl(flags, config), token }) };
}

/** The service, as the person. Throws a `CommandFailure`. */
export function reach(
  flags: ServiceFlags,
  config: Config,
  patience: Pick<ServiceAccess, 'timeoutMs'> = {},
): { readonly call: ServiceCall; readonly url: string } {
  const url = serviceUrl(flags, config);
  return { url, call: makeServiceCall({ url, token: connectCoder(config).token, ...patience }) };
}

/** Where the service is. Throws a `CommandFailure` for what is no address, or would carry the token in the clear. */
export function serviceUrl(flags: ServiceFlags, config: Config): string {
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
  return url;
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

/** The query that names the organization a person chose; empty where they chose none. */
export async function organizationQuery(flags: CoderFlags, config: Config): Promise<Readonly<Record<string, string>>> {
  if (flags.organization === undefined) return {};
  const { id } = await chooseOrganization(connectCoder(config).coder, flags.organization);
  return { organization_id: id };
}

/** The templates of these names; all of them when none is named. Throws a `CommandFailure` that names every stranger. */
export function chooseEntries(names: readonly string[]): readonly TemplateEntry[] {
  const strangers = names.filter((name) => templates.every((one) => one.name !== name));
  if (strangers.length > 0) {
    const known = templates.map(({ name }) => name).join(', ');
    throw new CommandFailure(2, `There is no template ${strangers.join(', ')}. Known: ${known}.`);
  }
  return names.length === 0 ? templates : templates.filter(({ name }) => names.includes(name));
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CommandFailure(2, `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'unknown'}.`);
  }
}
