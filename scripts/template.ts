import { Command } from 'commander';
import { convertCommand } from './template-convert.ts';
import { diffCommand } from './template-diff.ts';
import { getCommand, listCommand } from './template-list.ts';
import { lockCommand } from './template-lock.ts';
import { createCommand, pushCommand } from './template-push.ts';
import {
  render,
  renderTemplate,
  synthesizeTemplate,
  templatesDirectory,
  type RenderOptions,
} from './template-render.ts';
import { secretCommand } from './template-secret.ts';
import { validateCommand } from './template-validate.ts';

export { renderTemplate, synthesizeTemplate, templatesDirectory };

/** The `template` noun of the `outrigger` command. */
export function templateCommand(): Command {
  const rendering = { directory: templatesDirectory, synthesize: synthesizeTemplate, render: renderTemplate };
  const command = new Command('template').description('render, check and publish templates of Coder');
  command
    .command('render')
    .description('render templates into templates/<name>/main.tf')
    .argument('[names...]', 'which templates; all when none is named')
    .option('--check', 'change nothing; exit 1 when the rendered files differ from the committed ones')
    .option('--out <directory>', 'where to write instead of templates/')
    .action((names: string[], options: RenderOptions) => {
      process.exitCode = render(names, options);
    });
  const others = [
    listCommand(),
    getCommand(),
    createCommand(rendering),
    validateCommand(rendering),
    pushCommand(rendering),
    diffCommand(rendering),
    lockCommand(),
    secretCommand(),
    convertCommand(),
  ];
  for (const one of others) command.addCommand(one);
  return command;
}
