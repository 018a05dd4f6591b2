import { splitTemplate } from './template-string.ts';

/** A template as a quoted HCL string: backslash escapes in the literal parts, expressions untouched. */
export function quotedTemplate(template: string): string {
  const inner = splitTemplate(template).map((part) => (part.kind === 'literal' ? escapeLiteral(part.text) : part.text));
  return `"${inner.join('')}"`;
}

/**
 * A template as an HCL heredoc without its first indentation, or undefined where only quotes can say it.
 *
 * Heredocs know no backslash escapes, always end in a newline and cannot hold a bare carriage return. `<<-` strips the
 * common indentation, so it is used only when some line starts at column 0 and the strip is exactly what was added.
 */
export function heredocTemplate(template: string, indentation: string): string | undefined {
  if (!template.endsWith('\n') || template.indexOf('\n') === template.length - 1) return undefined;
  if (/[^\P{Cc}\n\t]/u.test(template)) return undefined;
  if (splitTemplate(template).some((part) => part.kind === 'expression' && part.text.includes('\n'))) return undefined;
  const lines = template.slice(0, -1).split('\n');
  const tag = freeTag(lines);
  if (!lines.some((line) => /^\S/u.test(line))) return [`<<${tag}`, ...lines, tag].join('\n');
  // A blank line is not counted when the common indentation is stripped, and nothing is stripped from it.
  const indented = lines.map((line) => (line.trim() === '' ? line : `${indentation}  ${line}`));
  return [`<<-${tag}`, ...indented, `${indentation}${tag}`].join('\n');
}

function freeTag(lines: readonly string[]): string {
  let tag = 'EOT';
  while (lines.some((line) => line.trim() === tag)) tag += '_';
  return tag;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeLiteral(text: string): string {
  return text.replace(
    /[\\"]|\p{Cc}/gu,
    (character) => escapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
