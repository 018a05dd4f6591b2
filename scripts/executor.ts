import { Command } from 'commander';
import { CommandFailure } from './command-failure.ts';
import { diagnose, formatDiagnosis } from './executor/doctor.ts';
import { readEngine } from './images/settings.ts';

interface Flags {
  readonly engine?: string;
  readonly output: string;
}

/** `outrigger executor …` */
export function executorCommand(): Command {
  const command = new Command('executor').description('Checks images that workspaces run in');
  command
    .command('doctor')
    .argument('<image>', 'the executor image, such as localhost/outrigger/outrigger-agent-devbox:0.1.0')
    .description('Runs an image and checks every rule of executors, each with what to do')
    .option('--engine <engine>', 'docker or podman; otherwise CONTAINER_ENGINE, else docker')
    .option('-o, --output <format>', 'text or json', 'text')
    .addHelpText(
      'after',
      '\nExit codes: 0 every rule holds · 1 a rule is broken · 2 no engine or no such image\n\nExample:\n  outrigger executor doctor debian:bookworm-slim\n',
    )
    .action(async (image: string, flags: Flags) => {
      if (flags.output !== 'text' && flags.output !== 'json') command.error('error: --output must be text or json');
      process.exitCode = await diagnoseAndPrint(image, flags);
    });
  return command;
}

async function diagnoseAndPrint(image: string, { engine, output }: Flags): Promise<number> {
  try {
    const diagnosis = await diagnose(readEngine(engine ?? process.env['CONTAINER_ENGINE']), image);
    console.log(output === 'json' ? JSON.stringify(diagnosis, null, 2) : formatDiagnosis(diagnosis));
    return diagnosis.ok ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    console.error(error.message);
    return error.exitCode;
  }
}
