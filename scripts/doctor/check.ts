import Table from 'cli-table3';

/**
 * ok       seen and right
 * warn     works, and will trouble somebody
 * fail     broken
 * unknown  could not be looked at from here
 */
export type State = 'ok' | 'warn' | 'fail' | 'unknown';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly state: State;
  /** What was seen. */
  readonly found: string;
  /** What follows from it, where that is not plain. */
  readonly why?: string;
  /** The command that mends it, or one sentence where no command does; always there unless it is ok. */
  readonly remedy?: string;
}

export const ok = (name: string, found: string): Check => ({ name, state: 'ok', found });

/** A check that is not ok; `why` may be empty. */
const flaw =
  (state: Exclude<State, 'ok'>) =>
  (name: string, found: string, why: string, remedy: string): Check => ({
    name,
    state,
    found: oneLine(found),
    ...(why === '' ? {} : { why }),
    remedy,
  });
export const warn = flaw('warn');
export const fail = flaw('fail');
export const unknown = flaw('unknown');

/** What others wrote must not move a person's terminal. */
const mostLetters = 600;
export const oneLine = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, mostLetters);

export interface Diagnosis {
  /** What was examined, such as `workspace ada/first`. */
  readonly subject: string;
  readonly checks: readonly Check[];
}

/** 0 all ok · 1 nothing broken, yet something to look at · 2 something is broken */
export function exitCodeOf({ checks }: Diagnosis): 0 | 1 | 2 {
  if (checks.some(({ state }) => state === 'fail')) return 2;
  return checks.every(({ state }) => state === 'ok') ? 0 : 1;
}

const marks: Readonly<Record<State, string>> = { ok: 'ok', warn: 'warn', fail: 'FAIL', unknown: '?' };

/** What a person reads: a line for each check, then what is wrong with what mends it, the verdict last. */
export function formatDiagnosis(diagnosis: Diagnosis): string {
  const { subject, checks } = diagnosis;
  const table = new Table({ head: ['', 'check', 'found'], style: { head: [], border: [] } });
  for (const { state, name, found } of checks) table.push([marks[state], name, wrapped(found)]);
  const flaws = checks.filter(({ state }) => state !== 'ok');
  return [
    table.toString(),
    ...flaws.map(({ name, why, remedy }) => `${name}: ${why === undefined ? '' : `${why} `}\n  → ${remedy ?? ''}`),
    `${subject}: ${verdict(checks)}`,
  ].join('\n');
}

function verdict(checks: readonly Check[]): string {
  const count = (state: State): number => checks.filter((one) => one.state === state).length;
  const [failed, warned, unseen] = [count('fail'), count('warn'), count('unknown')];
  const parts = [
    failed > 0 ? `${failed} broken` : '',
    warned > 0 ? `${warned} to look at` : '',
    unseen > 0 ? `${unseen} not known` : '',
  ].filter((part) => part !== '');
  return parts.length === 0
    ? `all ${checks.length} checks are ok.`
    : `${parts.join(', ')}, of ${checks.length} checks.`;
}

const widest = 90;
const wrapped = (text: string): string => text.replace(new RegExp(`(.{1,${widest}})(\\s+|$)`, 'g'), '$1\n').trimEnd();
