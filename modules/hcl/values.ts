import { layOutAssignments, type Rendered } from './layout.ts';
import { heredocTemplate, quotedTemplate } from './string-literal.ts';
import { escapeTemplate, singleExpression } from './template-string.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

/**
 * How the strings of a value are meant.
 *
 * template   as everywhere in Terraform's JSON: `${…}` is an expression
 * literal    Terraform takes them as they are (variable defaults and descriptions, the terraform block)
 * raw        names and types that HCL writes without quotes
 */
export type StringMode = 'template' | 'literal' | 'raw';

const lineWidth = 100;

/** A JSON value as HCL. `indentation` is that of the line it begins on. */
export function renderValue(value: Json, mode: StringMode, indentation: string): Rendered {
  if (typeof value === 'string') return renderString(value, mode, indentation);
  if (isList(value)) return renderList(value, mode, indentation);
  if (isObject(value)) return renderObject(value, mode, indentation);
  return { text: String(value), aligns: true };
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function renderString(text: string, mode: StringMode, indentation: string): Rendered {
  if (mode === 'raw') return { text: singleExpression(text) ?? text, aligns: true };
  const template = mode === 'literal' ? escapeTemplate(text) : text;
  const expression = singleExpression(template);
  if (expression !== undefined) return { text: onOneLine(expression), aligns: true };
  return { text: heredocTemplate(template, indentation) ?? quotedTemplate(template), aligns: true };
}

function onOneLine(expression: string): string {
  if (expression.includes('\n')) {
    throw new Error(`The expression ${JSON.stringify(expression)} spans lines; write it on one line or as a local.`);
  }
  return expression;
}

function renderList(list: readonly Json[], mode: StringMode, indentation: string): Rendered {
  const inner = `${indentation}  `;
  const items = list.map((item) => renderItem(item, mode, inner));
  const flat = list.every((item) => typeof item !== 'object' || item === null);
  const oneLine = `[${items.join(', ')}]`;
  if (flat && oneLine.length + indentation.length <= lineWidth) return { text: oneLine, aligns: true };
  return { text: ['[', ...items.map((item) => `${inner}${item},`), `${indentation}]`].join('\n'), aligns: false };
}

/** Strings in a list are quoted even when they have lines: a heredoc would push its comma onto a line of its own. */
function renderItem(item: Json, mode: StringMode, indentation: string): string {
  if (typeof item !== 'string' || mode === 'raw') return renderValue(item, mode, indentation).text;
  const template = mode === 'literal' ? escapeTemplate(item) : item;
  const expression = singleExpression(template);
  return expression === undefined ? quotedTemplate(template) : onOneLine(expression);
}

function renderObject(object: JsonObject, mode: StringMode, indentation: string): Rendered {
  const inner = `${indentation}  `;
  const assignments = Object.entries(object).map(([key, value]) => ({
    name: renderKey(key, mode),
    render: (indent: string) => renderValue(value, mode, indent),
  }));
  if (assignments.length === 0) return { text: '{}', aligns: true };
  return { text: ['{', ...layOutAssignments(assignments, inner), `${indentation}}`].join('\n'), aligns: false };
}

function renderKey(key: string, mode: StringMode): string {
  if (/^[A-Za-z_][\w-]*$/.test(key)) return key;
  const template = mode === 'template' ? key : escapeTemplate(key);
  const expression = singleExpression(template);
  return expression === undefined ? quotedTemplate(template) : `(${onOneLine(expression)})`;
}
