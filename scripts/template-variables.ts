import { parse } from 'yaml';
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import { isPinned } from './images/pinned.ts';

/** A `variable` block, as far as pushing asks. */
export interface VariableDeclaration {
  readonly default?: unknown;
  readonly sensitive?: boolean;
}

export type Declarations = Readonly<Record<string, VariableDeclaration>>;
export type Values = Readonly<Record<string, string>>;

/** The one variable that nobody gives: `push` mints it. */
export const secretVariable = 'outrigger_secret';

/** `name=value`, several times; the last one holds. */
export function readAssignments(declared: Declarations, lines: readonly string[]): Values {
  const values = lines.map((line): [string, string] => {
    const at = line.indexOf('=');
    // A line without a name is not repeated: it may be a secret that lost its name.
    if (at < 1) throw new CommandFailure(2, 'Each --var is name=value.');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  for (const [name] of values)
    if (name !== secretVariable && declared[name]?.sensitive === true)
      throw new CommandFailure(
        2,
        `Variable ${name} is sensitive, and others on this machine can read a command line. Put it into a file for --vars-file.`,
      );
  return Object.fromEntries(values);
}

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const fileShape = z.record(z.string(), z.union([scalar, z.array(scalar), z.record(z.string(), scalar)]));

/** YAML or JSON, one value for each name. What is not text is written as JSON, which Terraform reads. */
export function readVarsFile(path: string, text: string): Values {
  const result = fileShape.safeParse(parseYaml(text));
  if (!result.success)
    throw new CommandFailure(
      2,
      `${path} is not a file of variables: it holds YAML or JSON with one line 'name: value' for each.`,
    );
  const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
  return Object.fromEntries(Object.entries(result.data).map(([name, value]) => [name, asText(value)]));
}

/** Undefined when it is no YAML. */
export function parseYaml(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const exampleImage = 'registry.example.com/base:1@sha256:<64 hex digits>';

/**
 * Checks what was given against what the template declares; the secret excepted, nothing required may be missing.
 *
 * Errors  `CommandFailure` 2 naming every fault of its kind, never a value.
 */
export function checkValues(declared: Declarations, values: Values): void {
  if (secretVariable in values)
    throw new CommandFailure(
      2,
      `Push mints ${secretVariable} itself, a new one for each version. Leave it out; to push by hand, see \`outrigger template secret\`.`,
    );
  checkNames(declared, values);
  const missing = Object.entries(declared)
    .filter(([name, { default: standard }]) => standard === undefined && name !== secretVariable && !values[name])
    .map(([name]) => name);
  if (missing.length > 0) {
    const example = missing.some((name) => /_images?$/.test(name))
      ? `; images are pinned by digest (opencode_image=${exampleImage}, executor_images='["${exampleImage}"]')`
      : '';
    throw new CommandFailure(
      2,
      `The template has no value for ${missing.join(' and ')}. Give each with --var name=value or in a file for --vars-file${example}.`,
    );
  }
  for (const name of ['opencode_image', 'executor_images']) checkPinned(name, values[name]);
}

/** Throws a `CommandFailure` 2 that names every variable there is not. */
export function checkNames(declared: Declarations, values: Values): void {
  const unknown = Object.keys(values).filter((name) => name !== secretVariable && declared[name] === undefined);
  if (unknown.length === 0) return;
  const known = Object.keys(declared).filter((name) => name !== secretVariable);
  throw new CommandFailure(2, `The template has no variable ${unknown.join(', ')}. It has: ${known.join(', ')}.`);
}

export const sensitiveNames = (declared: Declarations): readonly string[] =>
  Object.keys(declared).filter((name) => declared[name]?.sensitive === true);

/** Every image that the values name. */
export const imagesIn = (values: Values): readonly string[] => [
  ...(values['opencode_image'] === undefined ? [] : [values['opencode_image']]),
  ...(readList(values['executor_images'] ?? '[]') ?? []),
];

/** Terraform refuses these too, but only after a secret was minted and the archive sent. */
function checkPinned(name: string, value: string | undefined): void {
  if (value === undefined) return;
  const images = name.endsWith('s') ? readList(value) : [value];
  if (images !== null && images.length > 0 && images.every(isPinned)) return;
  throw new CommandFailure(
    2,
    images === null || images.length === 0
      ? `Variable ${name} is a list with at least one image, such as '["${exampleImage}"]'.`
      : `Variable ${name} has an image without its digest. Pin each, such as ${exampleImage}.`,
  );
}

function readList(value: string): readonly string[] | null {
  const result = z.array(z.string()).safeParse(parseYaml(value));
  return result.success ? result.data : null;
}
