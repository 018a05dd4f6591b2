/**
 * Terraform's string templates, taken apart.
 *
 * A string in Terraform's JSON syntax is a template: `${…}` and `%{…}` are expressions, `$${` and `%%{` are the
 * literal characters `${` and `%{`, and everything else is literal, backslashes included.
 */

export interface TemplatePart {
  readonly kind: 'literal' | 'expression';
  readonly text: string;
}

/**
 * Splits a template into literal and expression parts; their texts joined are the input again.
 *
 * Errors   an expression that never ends: the string is no template, and guessing would print another program.
 */
export function splitTemplate(template: string): readonly TemplatePart[] {
  const parts: TemplatePart[] = [];
  let literalStart = 0;
  let at = 0;
  while (at < template.length) {
    if (startsEscape(template, at)) {
      at += 3;
    } else if (startsExpression(template, at)) {
      if (at > literalStart) parts.push({ kind: 'literal', text: template.slice(literalStart, at) });
      const end = expressionEnd(template, at);
      parts.push({ kind: 'expression', text: template.slice(at, end) });
      at = literalStart = end;
    } else {
      at += 1;
    }
  }
  if (at > literalStart) parts.push({ kind: 'literal', text: template.slice(literalStart, at) });
  return parts;
}

/**
 * The expression inside a string that is exactly one `${…}`, trimmed; undefined for every other string.
 *
 * Such a string has the value of the expression, whatever its type, so HCL writes it bare.
 */
export function singleExpression(template: string): string | undefined {
  if (!template.startsWith('${') || template.startsWith('${~') || template.endsWith('~}')) return undefined;
  const parts = splitTemplate(template);
  return parts.length === 1 ? template.slice(2, -1).trim() : undefined;
}

/** Text that a template shows as it stands: `${` and `%{` become `$${` and `%%{`. */
export function escapeTemplate(text: string): string {
  return text.replace(/([$%])\{/g, (_match, sign: string) => `${sign}${sign}{`);
}

function startsEscape(text: string, at: number): boolean {
  return text.startsWith('$${', at) || text.startsWith('%%{', at);
}

function startsExpression(text: string, at: number): boolean {
  return text.startsWith('${', at) || text.startsWith('%{', at);
}

/** Position behind the `}` that closes the expression at `start`, with strings and nested templates understood. */
function expressionEnd(text: string, start: number): number {
  const open: ('{' | '"')[] = ['{'];
  let at = start + 2;
  while (at < text.length) {
    const inString = open.at(-1) === '"';
    const character = text[at];
    if (inString && character === '\\') at += 2;
    else if (inString && startsEscape(text, at)) at += 3;
    else if (inString && startsExpression(text, at)) {
      open.push('{');
      at += 2;
    } else if (character === '"') {
      if (inString) open.pop();
      else open.push('"');
      at += 1;
    } else if (!inString && (character === '{' || character === '}')) {
      if (character === '{') open.push('{');
      else open.pop();
      at += 1;
      if (open.length === 0) return at;
    } else at += 1;
  }
  throw new Error(`The expression that begins at character ${start} of ${JSON.stringify(text)} never ends; close it.`);
}
