/** What stands in the place of a secret, wherever text is kept or shown. */
export const censor = '[redacted]';

type Shape = readonly [pattern: RegExp, replacement: string];

/**
 * Secrets that are known by how they look, whatever stands around them. No pattern crosses a quote or eats the
 * backslash of an escape, so that a line of JSON stays one.
 */
export const secretShapes: readonly Shape[] = [
  // Our own tokens by their prefix.
  [/\bor[btxsw]_[\w.-]{16,}/g, censor],
  // user:password@ in an address, a driver's error among them.
  [/(:\/\/)[^\s"\\/@]+@/g, `$1${censor}@`],
];

/**
 * Tokens of others, in text that somebody wrote: the prefixes are those that each vendor documents. An agent may have
 * written it, so no pattern may look far ahead again and again.
 */
const foreignShapes: readonly Shape[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, censor],
  [/\b(?:sk|rk|pk)-(?=[\w-]{0,100}\d)[\w-]{20,300}/g, censor],
  [/\b(?:gh[pousr]_\w{36,}|github_pat_\w{22,}|glpat-[\w-]{20,}|xox[abeoprs]-[\w-]{10,})/g, censor],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, censor],
  // A session token of Coder: ten characters, a dash, twenty-two.
  [/\b(?=[A-Za-z]{0,9}\d)[A-Za-z0-9]{10}-[A-Za-z0-9]{22}\b/g, censor],
  [/\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,}/g, censor],
  [/\b(bearer|basic) +[\w.~+/-]{20,}=*/gi, `$1 ${censor}`],
  // OPENROUTER_API_KEY=…, as `env` prints it.
  [/\b((?:[A-Z0-9]+_)*(?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)=)(?!\$)[^\s'"]{6,}/g, `$1${censor}`],
];

/**
 * Text without what looks like a secret.
 *
 * Bound    a secret of no known shape, and one that somebody took apart, stays: this is the last net and not the wall.
 */
export const redactText = (text: string): string =>
  [...secretShapes, ...foreignShapes].reduce(
    (left, [pattern, replacement]) => left.replace(pattern, replacement),
    text,
  );

/** The same of every text within a value; keys stay. */
export function redacted<Value>(value: Value): Value {
  if (typeof value === 'string') return redactText(value) as Value;
  if (Array.isArray(value)) return value.map((one: unknown) => redacted(one)) as Value;
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redacted(one)])) as Value;
}
