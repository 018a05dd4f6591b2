/** Control and format characters, line separators, bidirectional overrides, lone surrogates and private use. */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/**
 * One line of printable text, for terminals, logs and Coder's page.
 *
 * Errors   none: what does not fit in `maxBytes` of UTF-8 is cut between characters.
 */
export function cleanText(text: string, maxBytes: number): string {
  const line = text
    .slice(0, maxBytes * 4)
    .replace(unprintable, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  let [kept, size] = ['', 0];
  for (const character of line) {
    size += Buffer.byteLength(character);
    if (size > maxBytes) break;
    kept += character;
  }
  return kept;
}
