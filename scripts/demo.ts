import { Command } from 'commander';
import { runDemo } from './demo/run-demo.ts';

export function demoCommand(): Command {
  return new Command('demo')
    .description('Runs the main job once on this machine: from nothing to a finished, audited workflow.')
    .option('--keep', 'leave the working folder behind, to look at')
    .addHelpText(
      'after',
      '\nCoder is simulated and the model scripted, unless CODER_URL and CODER_SESSION_TOKEN, or OPENROUTER_API_KEY,\n' +
        'say otherwise. With a real Coder a workspace of yours must be running, and you must be a template admin.\n',
    )
    .action(async (options: { keep?: boolean }) => {
      process.exitCode = await runDemo({ keep: options.keep ?? false, tell: (line) => console.log(line) });
    });
}
