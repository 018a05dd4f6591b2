import { Command } from 'commander';
import { loadConfigFromProcess } from '../service/config.ts';
import { main } from '../service/main.ts';
import { ServiceError } from '../service/platform/errors.ts';
import { startSimulatedCoder, type SimulatedCoder } from '../test/support/coder/simulated-coder.ts';

export function serveCommand(): Command {
  return new Command('serve')
    .description('Starts the service and keeps it running until SIGTERM or Ctrl-C.')
    .option('--config <file>', 'configuration file (otherwise the usual places)')
    .addHelpText(
      'after',
      '\nNeeds CODER_URL and OUTRIGGER_CODER_TOKEN; without CODER_URL it simulates a Coder and says so.\n' +
        'Without DATABASE_URL it keeps its own Postgres under the data directory.\n' +
        'OPENROUTER_API_KEY, or MODEL_UPSTREAM_URL with OUTRIGGER_MODEL, say where model calls go.\n',
    )
    .action(async ({ config }: { config?: string }) => {
      const tell = (line: string): void => console.error(line);
      const simulation = needsCoder(config) ? await simulateCoder(tell) : undefined;
      process.exitCode = await main({ ...(config === undefined ? {} : { configFile: config }), tell });
      await simulation?.close();
    });
}

/** A configuration that cannot be read is not judged here: the service itself names every fault. */
function needsCoder(configFile: string | undefined): boolean {
  try {
    return !loadConfigFromProcess(configFile).coder.isConfigured;
  } catch (error) {
    if (error instanceof ServiceError) return false;
    throw error;
  }
}

async function simulateCoder(tell: (line: string) => void): Promise<SimulatedCoder> {
  const coder = await startSimulatedCoder();
  const admin = coder.addUser({ username: 'admin', roles: ['owner'] });
  const ada = coder.addUser({ username: 'ada' });
  const workspace = coder.addWorkspace({ owner: 'ada', name: 'canoe', running: true });
  process.env['CODER_URL'] = coder.url;
  process.env['OUTRIGGER_CODER_TOKEN'] = admin.token;
  tell('');
  tell('  !! No CODER_URL is set: this Coder is SIMULATED and forgets everything when it ends. Nothing here is real.');
  tell(`  !! ${coder.url} · workspace ada/canoe ${workspace.id}`);
  tell(`  !! token of ada: ${ada.token} · token of the admin: ${admin.token}`);
  tell('');
  return coder;
}
