import type { Assignment, BodyPart } from './layout.ts';
import type { BlockSchema } from './provider-schema.ts';
import { isList, isObject, renderValue, type Json, type JsonObject, type StringMode } from './values.ts';

/** Decides what a name in a body is; undefined passes the question on. */
export type Rule = (name: string, path: string) => Meaning | undefined;

type Meaning =
  | { readonly kind: 'attribute'; readonly mode: StringMode }
  | { readonly kind: 'block'; readonly rules: readonly Rule[] }
  | { readonly kind: 'dynamic'; readonly rulesOf: (label: string) => readonly Rule[] };

export const attributesOnly: Rule = () => ({ kind: 'attribute', mode: 'template' });

export const modes =
  (table: Readonly<Record<string, StringMode>>): Rule =>
  (name) =>
    table[name] === undefined ? undefined : { kind: 'attribute', mode: table[name] };

export const blocks =
  (table: Readonly<Record<string, readonly Rule[]>>): Rule =>
  (name) =>
    table[name] === undefined ? undefined : { kind: 'block', rules: table[name] };

export const condition: readonly Rule[] = [modes({ condition: 'template', error_message: 'template' })];

export const metaArguments: Rule = modes({
  count: 'template',
  for_each: 'template',
  provider: 'raw',
  depends_on: 'raw',
});

export const lifecycle: Rule = blocks({
  lifecycle: [
    modes({ ignore_changes: 'raw', replace_triggered_by: 'raw', create_before_destroy: 'raw', prevent_destroy: 'raw' }),
    blocks({ precondition: condition, postcondition: condition }),
  ],
});

export const provisioning: Rule = blocks({ connection: [attributesOnly], provisioner: [attributesOnly] });

/** Arguments and nested blocks as the provider's schema has them, at any depth. */
export function bySchema(schema: BlockSchema): readonly Rule[] {
  const rulesOf = (name: string): readonly Rule[] => {
    const nested = schema.block_types?.[name];
    if (nested === undefined) throw new Error(`There is no nested block "${name}".`);
    return bySchema(nested.block);
  };
  return [
    (name) => (schema.block_types?.[name] === undefined ? undefined : { kind: 'block', rules: rulesOf(name) }),
    (name) => (name === 'dynamic' ? { kind: 'dynamic', rulesOf } : undefined),
    (name, path) => {
      const attribute = schema.attributes?.[name];
      if (attribute === undefined) return undefined;
      if (attribute.required !== true && attribute.optional !== true) {
        throw new Error(`${path}: "${name}" is read-only and cannot be set.`);
      }
      return { kind: 'attribute', mode: 'template' };
    },
  ];
}

const argumentsFirst = ['count', 'for_each', 'iterator', 'provider'];
const argumentsLast = ['depends_on'];
/** Inside a group people read these first; everything else keeps the order of the JSON. */
const readFirst = [
  ...['source', 'version', 'name', 'namespace', 'display_name', 'slug', 'description', 'icon'],
  ...['type', 'form_type', 'default'],
  ...['image', 'hostname', 'entrypoint', 'command', 'working_dir', 'os', 'arch', 'dir', 'env', 'user'],
  ...['metadata', 'init_container', 'container'],
];
/** Long texts, so that what is said about them is not lost behind. */
const readLast = ['script', 'startup_script'];

export function block(header: string, body: JsonObject, rules: readonly Rule[]): BodyPart {
  const first: Assignment[] = [];
  const middle: Assignment[] = [];
  const last: Assignment[] = [];
  const nested: BodyPart[] = [];
  const lifecycles: BodyPart[] = [];
  for (const { name, value, label } of inReadingOrder(body, header)) {
    const meaning = meaningOf(name, rules, header);
    if (meaning.kind === 'attribute') {
      const group = argumentsFirst.includes(name) ? first : argumentsLast.includes(name) ? last : middle;
      group.push({ name, render: (indentation) => renderValue(value, meaning.mode, indentation) });
    } else if (meaning.kind === 'block') {
      const printed = each(value, `${header} ${name}`).map((one) => block(name, one, meaning.rules));
      (name === 'lifecycle' ? lifecycles : nested).push(...printed);
    } else {
      nested.push(...dynamicBlocks({ [label]: value }, meaning.rulesOf));
    }
  }
  const group = (assignments: readonly Assignment[]): BodyPart => ({ kind: 'assignments', assignments });
  const printed = [group(first), group(middle), ...nested, ...lifecycles, group(last)];
  return { kind: 'block', header, body: printed, ...commentOf(body) };
}

/** `//` is how Terraform's JSON writes a comment. Another value than text is a note of the program that wrote it. */
function commentOf({ '//': comment }: JsonObject): { readonly comment?: string } {
  return typeof comment === 'string' ? { comment } : {};
}

interface Entry {
  readonly name: string;
  readonly value: Json;
  /** What a dynamic block makes; otherwise the name. */
  readonly label: string;
}

/**
 * Dynamic blocks stand where those they make would, behind the ones that are always there.
 *
 * Trap  Terraform keeps the order of blocks, and in the JSON `dynamic` must come last for the same plan.
 */
function inReadingOrder(body: JsonObject, header: string): readonly Entry[] {
  const entries = Object.entries(body).flatMap(([name, value]): readonly Entry[] => {
    if (name === '//') return [];
    if (name !== 'dynamic' || !isObject(value)) return [{ name, value, label: name }];
    return Object.entries(value).map(([label, made]) => ({ name, value: made, label }));
  });
  const labels = entries.map(({ label }) => label);
  // Locals have names of their own, whose order is the author's.
  if (header === 'locals') return entries;
  return [...entries].sort(
    (a, b) => rank(a.label) - rank(b.label) || labels.indexOf(a.label) - labels.indexOf(b.label),
  );
}

function dynamicBlocks(byLabel: JsonObject, rulesOf: (label: string) => readonly Rule[]): readonly BodyPart[] {
  return Object.entries(byLabel).flatMap(([label, value]) =>
    each(value, `dynamic ${label}`).map((one) =>
      block(`dynamic ${JSON.stringify(label)}`, one, [
        modes({ for_each: 'template', iterator: 'raw', labels: 'template' }),
        blocks({ content: rulesOf(label) }),
      ]),
    ),
  );
}

function meaningOf(name: string, rules: readonly Rule[], path: string): Meaning {
  for (const rule of rules) {
    const meaning = rule(name, path);
    if (meaning !== undefined) return meaning;
  }
  throw new Error(`${path}: there is no argument or block "${name}" here.`);
}

function rank(name: string): number {
  if (readLast.includes(name)) return readFirst.length + 1;
  const index = readFirst.indexOf(name);
  return index === -1 ? readFirst.length : index;
}

export function object(value: Json, path: string): JsonObject {
  if (isObject(value)) return value;
  throw new Error(`${path} must be an object, not ${JSON.stringify(value)}.`);
}

/** Terraform's JSON writes one block as an object and several as a list. */
export function each(value: Json, path: string): readonly JsonObject[] {
  return (isList(value) ? value : [value]).map((one) => object(one, path));
}
