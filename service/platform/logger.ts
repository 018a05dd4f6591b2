import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/** Keys whose values never reach a log line, at any of the depths we log. */
const secretKeys = [
  'authorization',
  'cookie',
  'token',
  'password',
  'secret',
  'proof',
  'apiKey',
  'prompt',
  'bridge_token',
  'task_token',
  'connectionString',
  '["coder-session-token"]',
  '["x-api-key"]',
  '["set-cookie"]',
];
const at = (prefix: string) => secretKeys.map((key) => (key.startsWith('[') ? `${prefix.slice(0, -1)}${key}` : prefix + key));

/** JSON lines on stdout: constant message, data in fields, secrets replaced. */
export function createLogger(options: { level: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      redact: { paths: [...secretKeys, ...at('*.'), ...at('*.*.')], censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
