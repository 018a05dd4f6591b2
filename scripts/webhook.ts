import { Command } from 'commander';
import { z } from 'zod';
import { visible, visibleJson } from './approval-text.ts';
import { ask, listOf } from './ask.ts';
import { CommandFailure } from './command-failure.ts';
import {
  inProcess,
  reach,
  serviceUrl,
  withServiceOptions,
  type ServiceFlags,
  type Surroundings,
} from './template-context.ts';
import { readWorkflowFile } from './workflow-run.ts';

const path = '/api/v2/agents/webhooks';
const example = `
Example, with a file that says:
  kind: github                      # or gitlab, generic
  events: [pull_request]
  filters: [{ pointer: /action, equals: opened }]
  mapping: [{ pointer: /pull_request/title, parameter: title }]
  task:
    type: opencode
    payload:
      action: review_code
      prompt: Review the pull request that is described below.
      context: { workspace_id: my-workspace }

  outrigger webhook create reviews -f reviews.yaml
`;

/** `outrigger webhook …` */
export function webhookCommand(): Command {
  const list = withServiceOptions(new Command('list'))
    .description('show your webhooks, without their secrets')
    .action(async (flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listWebhooks(flags, around));
    });
  const create = named('create', 'store a webhook and print its secret, once; or change one', createWebhook)
    .requiredOption('-f, --file <file>', 'what it starts, and when, as YAML or JSON')
    .addHelpText('after', example);
  const rotate = named('rotate', 'give it another secret and print that; the old one ends at once', rotateWebhook);
  const deliveries = named('deliveries', 'show what became of its events in the last seven days', showDeliveries);
  const remove = named('delete', 'delete a webhook; what it started goes on', deleteWebhook);
  const command = new Command('webhook')
    .description('start tasks and workflows by events of GitHub, GitLab and others')
    .addHelpText('after', example);
  for (const one of [create, list, rotate, deliveries, remove]) command.addCommand(one);
  return command;
}

interface CreateFlags extends ServiceFlags {
  readonly file: string;
}

function named<Flags extends ServiceFlags>(
  word: string,
  description: string,
  run: (name: string, flags: Flags, around: Surroundings) => Promise<void>,
): Command {
  return withServiceOptions(new Command(word))
    .description(description)
    .argument('<name>', 'which webhook: lower-case letters, digits and hyphens')
    .action(async (name: string, flags: Flags) => {
      process.exitCode = await inProcess(flags, (around) => run(name, flags, around));
    });
}

const webhook = z.looseObject({
  name: z.string(),
  kind: z.string(),
  path: z.string(),
  events: z.array(z.string()),
  secret: z.string().optional(),
});
const delivery = z.looseObject({
  delivery_id: z.string(),
  event: z.string().nullable(),
  received_at: z.string(),
  verdict: z.string(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  task_id: z.string().nullable(),
  workflow_id: z.string().nullable(),
});

const at = (name: string, rest = ''): string => `${path}/${encodeURIComponent(name)}${rest}`;

/** Where the secret goes at the sender. */
const whereTo: Readonly<Record<string, string>> = {
  github: 'Settings → Webhooks: content type application/json, and this as the secret.',
  gitlab: 'Settings → Webhooks: this as the secret token.',
  generic: 'Sign "id.timestamp.body" with HMAC-SHA256 and this whole text as the key.',
};

function print(one: z.output<typeof webhook>, flags: ServiceFlags, around: Surroundings): void {
  if (flags.output === 'json') return around.print(visibleJson(one));
  const events = one.events.length === 0 ? 'every event' : one.events.join(', ');
  around.print(visible(`${one.name}  ${one.kind}  ${events}  ${serviceUrl(flags, around.config)}${one.path}`));
  if (one.secret === undefined) return;
  around.print(`  secret, shown only now: ${one.secret}`);
  around.print(`  ${whereTo[one.kind] ?? ''}`);
}

/** Prints the person's webhooks. Throws a `CommandFailure`. */
export async function listWebhooks(flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { items } = await ask(flags, around, listOf(webhook), 'GET', `${path}?limit=200`);
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0)
    return around.print('You have no webhook. `outrigger webhook create NAME -f FILE` makes one.');
  for (const one of items) print(one, flags, around);
}

/** Stores a webhook. Throws a `CommandFailure`. */
export async function createWebhook(name: string, flags: CreateFlags, around: Surroundings): Promise<void> {
  const body = readWorkflowFile(flags.file);
  if (typeof body !== 'object' || body === null) throw new CommandFailure(2, `${flags.file} describes no webhook.`);
  print(await ask(flags, around, webhook, 'PUT', at(name), body), flags, around);
}

/** Gives one another secret. Throws a `CommandFailure`. */
export async function rotateWebhook(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  print(await ask(flags, around, webhook, 'POST', at(name, '/rotate'), {}), flags, around);
}

/** Prints what became of the events. Throws a `CommandFailure`. */
export async function showDeliveries(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { items } = await ask(flags, around, listOf(delivery), 'GET', at(name, '/deliveries?limit=200'));
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('No event has come in the last seven days.');
  for (const one of items) {
    const { task_id: task, workflow_id: workflow } = one;
    const why = [one.reason, one.message].filter((part) => part !== null).join(': ');
    const what = task ? `task ${task}` : workflow ? `workflow ${workflow}` : why;
    around.print(
      visible(
        `${one.received_at}  ${one.verdict.padEnd(8)}  ${one.event ?? '-'}  ${one.delivery_id}  ${what}`.trimEnd(),
      ),
    );
  }
}

/** Deletes one. Throws a `CommandFailure`. */
export async function deleteWebhook(name: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  await reach(flags, around.config).call('DELETE', at(name));
  around.print(flags.output === 'json' ? visibleJson({ deleted: name }) : `Deleted ${visible(name)}.`);
}
