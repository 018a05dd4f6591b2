import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { ServiceError } from '../service/platform/errors.ts';
import { bodyOf, readManifest } from '../service/workflows/definitions/definition.ts';
import { visible, visibleJson } from './approval-text.ts';
import { CommandFailure, type ExitCode } from './command-failure.ts';
import { notOurs, ServiceRefusal, type ServiceCall } from './service-client.ts';
import {
  inProcess,
  organizationQuery,
  reach,
  readText,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';
import { definitionPath } from './workflow-definition.ts';
import { exitCodeOfWorkflow, stepLine, workflowAnswer, workflowLines, type WorkflowAnswer } from './workflow-text.ts';
import { measured, valueOf } from './yaml-text.ts';

export const workflowsPath = '/api/v2/agents/agentzero/workflows';

export interface RunFlags extends ServiceFlags {
  readonly wait?: true;
  readonly workspace?: string;
  readonly parameter?: readonly string[];
}

/** Where a workflow runs, and what its manifest asks for. */
export const withRunOptions = (command: Command): Command =>
  withServiceOptions(command)
    .option('-w, --workspace <workspace>', 'id, name or owner/name; otherwise your only running one')
    .option(
      '-p, --parameter <name=value>',
      'what a definition asks for; may be repeated',
      (one, all: string[]) => [...all, one],
      [],
    );

/** `outrigger workflow run` */
export function runCommand(): Command {
  return withRunOptions(new Command('run'))
    .description('start a workflow')
    .argument('<file-or-name>', 'a workflow as YAML or JSON, or the name of a stored definition')
    .option('--wait', 'show its steps until it has ended; the exit code says how')
    .addHelpText(
      'after',
      `
Exit codes with --wait: 0 succeeded · 1 a step failed · 2 something it needs is missing · 124 timed out · 143 canceled

Example, with a file that says:
  name: Add an endpoint
  steps:
    - { id: api, agent: opencode, task: generate_api }
    - { id: tests, agent: opencode, task: write_tests, depends_on: [api] }

  outrigger workflow run endpoint.yaml --workspace my-workspace --wait
  outrigger workflow run api-with-tests-and-review -p endpoint="GET /health"
`,
    )
    .action(async (file: string, flags: RunFlags) => {
      process.exitCode = await inProcess(flags, (around) => runWorkflow(file, flags, around));
    });
}

const started = z.looseObject({ id: z.string() });

/** Starts what a file or a stored definition describes; with `wait`, the exit code of its end. Throws a `CommandFailure`. */
export async function runWorkflow(what: string, flags: RunFlags, around: Surroundings): Promise<ExitCode | void> {
  const { call, url } = reach(flags, around.config);
  const asked = existsSync(what) ? ofFile(what, flags) : await ofName(what, flags, around);
  const answer = started.safeParse(await call('POST', asked.path, asked.body, { 'Idempotency-Key': randomUUID() }));
  if (!answer.success) throw notOurs(url);
  const { id } = answer.data;
  if (flags.wait !== true) return around.print(flags.output === 'json' ? visibleJson(answer.data) : id);
  around.tell(`${id} began; it goes on when you stop waiting.`);
  const ended = await waitForEnd(id, call, url, around);
  for (const line of flags.output === 'json' ? [visibleJson(ended)] : workflowLines(ended)) around.print(line);
  const code = exitCodeOfWorkflow(ended);
  return code === 0 ? undefined : code;
}

interface Asked {
  readonly path: string;
  readonly body: unknown;
}

async function ofName(name: string, flags: RunFlags, around: Surroundings): Promise<Asked> {
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name))
    throw new CommandFailure(2, `There is no file ${name}, and no definition is called so.`);
  const place = flags.workspace === undefined ? {} : { workspace_id: flags.workspace };
  const query = await organizationQuery(flags, around.config);
  return { path: definitionPath(name, '/run', query), body: { ...place, parameters: parametersOf(flags) } };
}

/** A workflow as it is submitted, or a manifest of one with what it asks for filled in. */
export function ofFile(file: string, flags: RunFlags): Asked {
  const value = readWorkflowFile(file);
  const isManifest = typeof value === 'object' && value !== null && 'apiVersion' in value;
  const parameters = parametersOf(flags);
  if (!isManifest && Object.keys(parameters).length > 0)
    throw new CommandFailure(2, `${file} takes no parameters; a manifest of kind Workflow does.`);
  const place = flags.workspace === undefined ? {} : { workspace_id: flags.workspace };
  if (!isManifest) return { path: workflowsPath, body: isObject(value) ? { ...value, ...place } : value };
  try {
    const { name, spec } = readManifest(value);
    return { path: workflowsPath, body: bodyOf(name, spec, parameters, flags.workspace) };
  } catch (error) {
    if (error instanceof ServiceError) throw new CommandFailure(2, `${file}: ${error.message}`);
    throw error;
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function parametersOf({ parameter = [] }: RunFlags): Readonly<Record<string, string>> {
  const pairs = parameter.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at < 1) throw new CommandFailure(2, `--parameter is name=value, not "${text}".`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

/** A workflow in a file of YAML or JSON. Throws a `CommandFailure` with the line of a fault. */
export function readWorkflowFile(file: string): unknown {
  const document = parseDocument(measured(file, readText(file)));
  const [fault] = document.errors;
  if (fault !== undefined)
    throw new CommandFailure(2, `${file} is not YAML: ${visible(fault.message.split('\n')[0] ?? '')}`);
  return valueOf(file, document);
}

/** How long the service may be away before the wait is given up. */
const patienceMs = 60_000;

/** Tells of each step that moves until the workflow has ended. A service that restarts meanwhile is waited for. */
async function waitForEnd(id: string, call: ServiceCall, url: string, around: Surroundings): Promise<WorkflowAnswer> {
  const { clock, signal, pollMs, tell } = around;
  const seen = new Map<string, string>();
  for (let heardMs = clock.nowMs(); ;) {
    signal.throwIfAborted();
    const answer = await call('GET', `${workflowsPath}/${id}`).catch((error: unknown) => {
      const isRefused = error instanceof ServiceRefusal && error.status < 500 && error.status !== 429;
      if (isRefused || clock.nowMs() - heardMs > patienceMs) throw error;
      return null;
    });
    if (answer !== null) {
      const workflow = workflowAnswer.safeParse(answer);
      if (!workflow.success) throw notOurs(url);
      heardMs = clock.nowMs();
      for (const step of workflow.data.steps) {
        if (seen.get(step.id) === stepLine(step)) continue;
        if (seen.has(step.id) || step.state !== 'blocked') tell(stepLine(step));
        seen.set(step.id, stepLine(step));
      }
      if (workflow.data.outcome !== null) return workflow.data;
    }
    await clock.sleep(pollMs, signal);
  }
}
