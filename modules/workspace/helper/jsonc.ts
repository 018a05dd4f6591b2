/** A property of the outermost object: where its value stands in the text. */
interface Found {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

export interface Jsonc {
  readonly text: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** This text with a property of the outermost object set; comments and layout stay as they are. */
  with(name: string, value: unknown): string;
}

/**
 * An object as editors let people write it: JSON with comments and with a comma after the last element.
 *
 * Errors   null where it is anything else.
 */
export function readJsonc(text: string): Jsonc | null {
  const plain = withoutComments(text.replace(/^\uFEFF/, ' '));
  const value = objectIn(plain);
  if (value === null) return null;
  return {
    text,
    value,
    with(name, wanted) {
      const written = JSON.stringify(wanted, null, 2).replaceAll('\n', '\n  ');
      const found = propertiesIn(plain);
      // An editor takes the last of two.
      const known = found.findLast((one) => one.name === name);
      if (known !== undefined) return text.slice(0, known.start) + written + text.slice(known.end);
      const last = found.at(-1);
      const at = last?.end ?? plain.indexOf('{') + 1;
      const comma = last === undefined ? '' : ',';
      return `${text.slice(0, at)}${comma}\n  ${JSON.stringify(name)}: ${written}${last === undefined ? '\n' : ''}${text.slice(at)}`;
    },
  };
}

/** Strings, comments, and commas that only a closing bracket follows. */
const pieces = /"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[^]*?\*\//g;
const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** Of the same length, so that a place in it is the same place in the text. */
function withoutComments(text: string): string {
  const bare = text.replace(pieces, (piece) => (piece.startsWith('"') ? piece : blank(piece)));
  return bare.replace(
    /("(?:[^"\\\n]|\\.)*")|,(?=\s*[}\]])/g,
    (piece, string: string | undefined) => string ?? blank(piece),
  );
}

function objectIn(plain: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(plain);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** What is known to be an object of JSON is only walked through: names and values of its first level. */
function propertiesIn(plain: string): readonly Found[] {
  const found: Found[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
  let [depth, name, start, end] = [0, null as string | null, -1, 0];
  for (let match = token.exec(plain); match !== null; match = token.exec(plain)) {
    const [word] = match;
    if (word === '}' || word === ']') depth -= 1;
    if (depth === 1 && word === ':') start = -1;
    else if (depth === 1 && name === null && word.startsWith('"')) name = JSON.parse(word) as string;
    else if (name !== null && (word === ',' ? depth > 1 : depth > 0)) {
      if (start === -1) start = match.index;
      end = match.index + word.length;
    }
    if (name !== null && ((depth === 1 && word === ',') || depth === 0)) {
      found.push({ name, start, end });
      [name, start] = [null, -1];
    }
    if (word === '{' || word === '[') depth += 1;
  }
  return found;
}
