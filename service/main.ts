import { loadConfigFromProcess } from './config.ts';
import { systemClock } from './platform/clock.ts';
import { ServiceError } from './platform/errors.ts';
import { createLogger } from './platform/logger.ts';
import { startService } from './server.ts';

/** Exit codes of the process: a prerequisite is missing or wrong; or something broke. */
const exitPrerequisite = 2;
const exitBroken = 1;
/** A drain that takes longer is cut: the database recovers what was open. */
const patienceMs = 20_000;

/**
 * The process: config → start → listen → drain on SIGTERM or SIGINT. Resolves with the exit code.
 *
 * `tell` gets the sentences for the person who started it; the log goes to stdout as JSON lines.
 * A signal that arrives while it starts is obeyed once it has started, so that nothing half-started stays behind.
 */
export async function main(options: { configFile?: string; tell: (line: string) => void }): Promise<number> {
  const { tell } = options;
  const signaled = nextSignal();
  let log = createLogger({ level: 'info' });
  try {
    const config = loadConfigFromProcess(options.configFile);
    log = createLogger({ level: config.logLevel });
    for (const notice of config.notices) log[notice.level](notice.message);
    const service = await startService({ config, clock: systemClock, log });
    log.info({ url: service.url }, 'listening');
    tell(`Outrigger listens on ${service.url}`);
    const signal = await signaled;
    log.info({ signal }, 'draining');
    const impatient = setTimeout(() => process.exit(exitBroken), patienceMs);
    await service.stop();
    clearTimeout(impatient);
    log.info('stopped');
    return 0;
  } catch (error) {
    const known = error instanceof ServiceError;
    if (known) tell(error.message);
    log.fatal(known ? { code: error.code } : { error }, 'cannot start');
    return known && error.kind !== 'internal' ? exitPrerequisite : exitBroken;
  }
}

/** The first signal; a second one means it and ends the process at once. */
const nextSignal = (): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(exitBroken));
        resolve(signal);
      });
    }
  });
