import { Command } from 'commander';
import { z } from 'zod';
import { visibleJson } from './approval-text.ts';
import { notOurs } from './service-client.ts';
import { inProcess, reach, withServiceOptions, type ServiceFlags, type Surroundings } from './template-context.ts';
import { definitionCommands } from './workflow-definition.ts';
import { composeCommand } from './workflow-compose.ts';
import { planCommand } from './workflow-plan.ts';
import { runCommand, workflowsPath } from './workflow-run.ts';
import { workflowAnswer, workflowLine, workflowLines } from './workflow-text.ts';

/** `outrigger workflow …` */
export function workflowCommand(): Command {
  const list = withServiceOptions(new Command('list'))
    .description('show your workflows, the newest first')
    .action(async (flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => listWorkflows(flags, around));
    });
  const show = withServiceOptions(new Command('show'))
    .description('show one workflow with each of its steps')
    .argument('<id>', 'which workflow, as `workflow list` shows it')
    .addHelpText('after', '\nExample:\n  outrigger workflow show 0190…\n')
    .action(async (id: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => showWorkflow(id, flags, around));
    });
  const cancel = withServiceOptions(new Command('cancel'))
    .description('stop what runs of a workflow and start nothing more of it')
    .argument('<id>', 'which workflow')
    .addHelpText('after', '\nExample:\n  outrigger workflow cancel 0190…\n')
    .action(async (id: string, flags: ServiceFlags) => {
      process.exitCode = await inProcess(flags, (around) => cancelWorkflow(id, flags, around));
    });
  const command = new Command('workflow').description('run workflows and see how they stand');
  const commands = [planCommand(), composeCommand(), runCommand(), list, show, cancel, ...definitionCommands()];
  for (const one of commands) command.addCommand(one);
  return command;
}

const summary = workflowAnswer.omit({ steps: true });
const page = z.object({ items: z.array(summary) });

/** Prints the newest workflows of the person. Throws a `CommandFailure`. */
export async function listWorkflows(flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config);
  const found = page.safeParse(await call('GET', `${workflowsPath}?limit=50`));
  if (!found.success) throw notOurs(url);
  const { items } = found.data;
  if (flags.output === 'json') return around.print(visibleJson(items));
  if (items.length === 0) return around.print('You have run no workflow. `outrigger workflow run FILE` runs one.');
  for (const one of items) around.print(workflowLine(one));
}

/** Prints one workflow. Throws a `CommandFailure`. */
export async function showWorkflow(id: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call, url } = reach(flags, around.config);
  const found = workflowAnswer.safeParse(await call('GET', `${workflowsPath}/${encodeURIComponent(id)}`));
  if (!found.success) throw notOurs(url);
  if (flags.output === 'json') return around.print(visibleJson(found.data));
  for (const line of workflowLines(found.data)) around.print(line);
}

/** Cancels one workflow. Throws a `CommandFailure`. */
export async function cancelWorkflow(id: string, flags: ServiceFlags, around: Surroundings): Promise<void> {
  const { call } = reach(flags, around.config);
  const answer = await call('POST', `${workflowsPath}/${encodeURIComponent(id)}/cancel`, {});
  around.print(flags.output === 'json' ? visibleJson(answer ?? {}) : `${id}  is being canceled`);
}
