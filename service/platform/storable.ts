/**
 * Makes text fit for Postgres: U+0000 and lone surrogates, which neither `text` nor `jsonb` takes, become U+FFFD.
 *
 * Scrubbing happens on the value: in JSON text, an innocent `\\u0000` could not be told from the character.
 */
export const storableText = (text: string): string =>
  text.replace(/\u0000|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD');

/** JSON of any value, its strings and keys fit for Postgres. */
export const storableJson = (value: unknown): string => JSON.stringify(scrub(value)) ?? 'null';

/** Whether Postgres takes a value as it is. What is nested too deep is none. */
export function isStorable(value: unknown): boolean {
  try {
    return storableJson(value) === JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function scrub(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(scrub);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [storableText(key), scrub(one)]));
}
