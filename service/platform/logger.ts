import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { censor, secretShapes } from './redact.ts';

export type Logger = PinoLogger;

/** Keys whose values never reach a log line, whatever their shape. */
const secretKeys = [
  'authorization',
  'cookie',
  'token',
  'password',
  'secret',
  'proof',
  'apiKey',
  'prompt',
  'keyring',
  'bridge_token',
  'task_token',
  'connectionString',
  '["coder-session-token"]',
  '["x-api-key"]',
  '["set-cookie"]',
];
const at = (prefix: string) =>
  secretKeys.map((key) => (key.startsWith('[') ? `${prefix.slice(0, -1)}${key}` : prefix + key));

/**
 * What the keys above cannot catch, replaced in the finished line: any depth, and text inside messages and stacks.
 *
 * Safety  each replacement keeps the line valid JSON: no pattern crosses a quote or eats a backslash of an escape.
 */
const shapes: readonly (readonly [RegExp, string])[] = [
  // "serviceToken":"…", "OPENROUTER_API_KEY":"…": a text under a key that speaks of a secret.
  [
    /("[^"\\]*(?:token|secret|password|api_?key|keyring|signing_?key|proof|prompt)":)"(?:[^"\\]|\\.)*"/gi,
    `$1"${censor}"`,
  ],
  ...secretShapes,
  [/\b(bearer|basic) [\w.~+/=-]{8,}/gi, `$1 ${censor}`],
];

const withoutSecrets = (line: string): string =>
  shapes.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), line);

/** JSON lines on stdout: constant message, data in fields, secrets replaced. */
export function createLogger(options: { level: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      // pino serialises only its own key, and an Error under another one would be logged as {}.
      errorKey: 'error',
      redact: { paths: [...secretKeys, ...at('*.'), ...at('*.*.')], censor },
      hooks: { streamWrite: withoutSecrets },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
