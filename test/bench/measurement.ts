import type { Ground } from './ground.ts';

/** One line of the final table. */
export interface Row {
  readonly what: string;
  readonly value: string;
  /** Number of samples, and whatever else a reader must know. */
  readonly note: string;
}

/** Measures one thing. Throws when it could not; a slow number is no error. */
export interface Measurement {
  /** For `npm run bench -- <name>`. */
  readonly name: string;
  readonly title: string;
  /** After this long it counts as not made. */
  readonly limitMs: number;
  measure(ground: Ground, tell: (line: string) => void): Promise<readonly Row[]>;
}
