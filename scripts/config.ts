import { Command } from 'commander';
import { describeConfig, loadConfigFromProcess } from '../service/config.ts';

/** `outrigger config …` */
export function configCommand(): Command {
  const command = new Command('config').description('Shows the configuration in force, without its secrets');
  command
    .command('print')
    .description('Prints every key as YAML, with where its value comes from; secrets are redacted')
    .option('--config <file>', 'the configuration file; otherwise OUTRIGGER_CONFIG or the usual places')
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .addHelpText('after', '\nExample:\n  LOG_LEVEL=debug outrigger config print\n')
    .action(({ config, output }: { config?: string; output: string }) => {
      if (output !== 'yaml' && output !== 'json') command.error(`error: --output must be yaml or json`);
      const settings = describeConfig(loadConfigFromProcess(config));
      if (output === 'json') return console.log(JSON.stringify(settings, null, 2));
      // JSON values are YAML values, so what is printed can be pasted into a file.
      for (const { key, variable, value, source } of settings)
        console.log(`${key}: ${JSON.stringify(value)}  # ${source}${variable === undefined ? '' : `, ${variable}`}`);
    });
  return command;
}
