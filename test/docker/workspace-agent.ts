import type { PlannedResource } from '../support/terraform/docker-template.ts';
import { dockerResult } from '../support/terraform/planned-docker.ts';

/** How a command in a container ended. */
export type Said = Awaited<ReturnType<typeof dockerResult>>;

/** The part of Coder's agent that a template counts on, by `docker exec` into the worker. */
export interface WorkspaceAgent {
  /** Runs every start script at once and answers when all have ended, by their display names. */
  runScripts(): Promise<Readonly<Record<string, Said>>>;
  /** A command as a terminal of the workspace would run it. */
  run(...command: readonly string[]): Promise<Said>;
}

/**
 * What is run begins in the environment of the container, through the template's own entry, with the variables of
 * `coder_agent` and `coder_env` over it.
 *
 * Source: coder/coder agent/agentssh (updateCommandEnv: names are expanded), agent/agentscripts (a script with a
 * shebang is given to that shell by `-c`).
 */
export function workspaceAgent(
  resources: readonly PlannedResource[],
  worker: string,
  environment: Readonly<Record<string, string>> = {},
): WorkspaceAgent {
  const ofType = (type: string) => resources.filter((one) => one.type === type).map(({ values }) => values);
  const [agent] = ofType('coder_agent');
  const variables: Record<string, string> = {
    ...environment,
    ...(agent?.env as Record<string, string> | undefined),
    ...Object.fromEntries(ofType('coder_env').map(({ name, value }) => [String(name), String(value)])),
  };
  const exports = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`);
  const run = (...command: readonly string[]): Promise<Said> =>
    dockerResult(
      ...['exec', '--workdir', '/', worker, '/tools/enter', 'sh', '-c'],
      ...[`${exports.join('\n')}\ncd "$HOME" && exec "$@"`, 'sh', ...command],
    );
  const scripts: Record<string, string> = { startup: String(agent?.startup_script) };
  for (const one of ofType('coder_script')) {
    if (one.run_on_start === true) scripts[String(one.display_name)] = String(one.script);
  }
  return {
    run,
    async runScripts() {
      const each = Object.entries(scripts).map(
        async ([name, script]) => [name, await run('sh', '-c', script)] as const,
      );
      return Object.fromEntries(await Promise.all(each));
    },
  };
}

/** A word in which only variables mean something, as in the values of Coder's agent. */
const quoted = (value: string): string => `"${value.replaceAll(/["\\`]/g, '\\$&')}"`;
