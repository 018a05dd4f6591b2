import { startEmbeddedPostgres, type EmbeddedPostgresOptions } from '../../service/platform/embedded-postgres.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { createLogger } from '../../service/platform/logger.ts';

/**
 * A process that owns an embedded Postgres: `embedded-postgres-program <options as JSON>`.
 *
 * It says over IPC `{ begun }`, then `{ running }` or `{ failed }`; told `stop`, it stops the server and ends.
 */
const options = JSON.parse(process.argv[2] ?? '') as EmbeddedPostgresOptions;

process.send?.({ begun: true });
startEmbeddedPostgres({ ...options, log: createLogger({ level: 'info' }) }).then(
  (server) => {
    const { url, pid, port, adopted } = server;
    process.on('message', () => void server.stop().then(() => process.exit(0)));
    process.send?.({ running: { url, pid, port, adopted } });
  },
  (error: unknown) => {
    const { code, message } =
      error instanceof ServiceError ? error : { code: 'not a ServiceError', message: String(error) };
    process.send?.({ failed: { code, message } }, () => process.exit(1));
  },
);
