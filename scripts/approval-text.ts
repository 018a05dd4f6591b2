/** What a terminal shows as nothing, as something else, or not where it stands: control, format and private characters, spaces of other widths. */
const unseen = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/gu;
const known: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Text on one line, in which everything can be seen: what has no picture of its own stands as in JSON, such as `\u202e`. */
export const visible = (text: string): string =>
  text.replace(unseen, (character) => known[character] ?? character.split('').map(unit).join(''));

const unit = (half: string): string => `\\u${half.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** JSON that steers no terminal and reads back as the same. */
export const visibleJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).split('\n').map(visible).join('\n');

const titleLength = 200;
/** Of one value, and of values: the rest is said to be there. */
const mostCharacters = 16_000;
const mostFields = 50;
const nameLength = 100;

const first = ['command', 'argv', 'filepath', 'url', 'patterns'];
const last = ['diff', 'patch'];
/** They tie a decision to one call, and tell a person nothing. */
const silent = ['session_id', 'call_id'];

/** The title of a question, which an agent wrote. */
export const titleLine = (title: string): string => cut(title, titleLength);

/**
 * What a person decides about, line by line as the agent wrote it; a value of several lines has each behind a bar.
 *
 * Safety  nothing is left out in silence, and no line can pass for another.
 */
export function detailLines(detail: Readonly<Record<string, unknown>>): readonly string[] {
  const fields = Object.entries(detail)
    .filter(([name]) => !silent.includes(name))
    .sort(([one], [other]) => rank(one) - rank(other));
  const lines = fields
    .slice(0, mostFields)
    .flatMap(([name, value]) => fieldLines(cut(name, nameLength), textOf(value)));
  return fields.length > mostFields ? [...lines, more(fields.length - mostFields, 'fields')] : lines;
}

const rank = (name: string): number =>
  first.includes(name) ? first.indexOf(name) : first.length + 1 + last.indexOf(name);

function fieldLines(name: string, text: string): readonly string[] {
  const lines = text.slice(0, mostCharacters).split('\n').map(visible);
  const shown = lines.length === 1 ? [`${name}: ${lines.join('')}`] : [`${name}:`, ...lines.map((line) => `| ${line}`)];
  return text.length > mostCharacters ? [...shown, more(text.length - mostCharacters, 'characters')] : shown;
}

/** Entries of a list stand on a line each. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map((one) => visible(textOf(one))).join('\n');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const cut = (text: string, most: number): string => `${visible(text.slice(0, most))}${text.length > most ? ' …' : ''}`;
const more = (count: number, of: string): string => `… ${String(count)} ${of} more, see --output json`;
