/** Writes one line of JSON per fact. Fields carry ids, counts and durations; never prompts, bodies or tokens. */
export type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;

export interface LogOptions {
  readonly write: (line: string) => void;
  readonly now: () => Date;
}

export interface SecretKeeper {
  readonly log: Log;
  /** From now on this value never appears in a line, whatever field carries it. */
  keep(secret: string): void;
}

/** A value shorter than this is a word, not a secret; hiding it would only make lines unreadable. */
const shortestSecret = 8;

export function makeLog({ write, now }: LogOptions): SecretKeeper {
  const secrets = new Set<string>();
  return {
    keep: (secret) => {
      if (secret.length >= shortestSecret) secrets.add(secret);
    },
    log: (level, message, fields = {}) => {
      let line = JSON.stringify({ time: now().toISOString(), level, message, ...fields });
      for (const secret of secrets) line = line.replaceAll(secret, '[redacted]');
      write(`${line}\n`);
    },
  };
}

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
