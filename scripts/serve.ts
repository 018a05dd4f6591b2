import { Command } from 'commander';
import { main } from '../service/main.ts';

export function serveCommand(): Command {
  return new Command('serve')
    .description('Starts the service and keeps it running until SIGTERM or Ctrl-C.')
    .option('--config <file>', 'configuration file (otherwise the usual places)')
    .addHelpText(
      'after',
      '\nNeeds CODER_URL and OUTRIGGER_CODER_TOKEN. Without DATABASE_URL it keeps its own Postgres under the data directory.\n',
    )
    .action(async (options: { config?: string }) => {
      process.exitCode = await main({
        ...(options.config === undefined ? {} : { configFile: options.config }),
        tell: (line) => console.error(line),
      });
    });
}
