/** A synthesized template as the policy sees it: flat lists of what it declares. */

export type Body = Readonly<Record<string, unknown>>;

/** One resource, data source, variable, local value, output or configuration of a provider. */
export interface Declared {
  /** As Terraform addresses it: `docker_container.worker`, `data.coder_parameter.cpu`, `var.opencode_image`. */
  readonly address: string;
  readonly kind: 'resource' | 'data' | 'variable' | 'local' | 'output' | 'provider';
  /** `docker_container`; empty for everything but resources and data sources. */
  readonly type: string;
  readonly name: string;
  readonly body: Body;
}

/** Everything a template declares, in the order of the JSON. */
export function declarations(template: Readonly<Record<string, unknown>>): readonly Declared[] {
  return [
    ...typed(template, 'resource', (type, name) => `${type}.${name}`),
    ...typed(template, 'data', (type, name) => `data.${type}.${name}`),
    ...named(template.variable, 'variable', 'var'),
    ...named(template.output, 'output', 'output'),
    ...Object.entries(bodies(template.locals)).map(([name, value]): Declared => ({
      address: `local.${name}`,
      kind: 'local',
      type: '',
      name,
      body: { value },
    })),
    ...Object.entries(bodies(template.provider)).flatMap(([name, written]) =>
      blockList(written).map((body): Declared => ({
        address: `provider.${name}`,
        kind: 'provider',
        type: '',
        name,
        body,
      })),
    ),
  ];
}

function named(section: unknown, kind: 'variable' | 'output', prefix: string): readonly Declared[] {
  return Object.entries(bodies(section)).map(([name, body]): Declared => ({
    address: `${prefix}.${name}`,
    kind,
    type: '',
    name,
    body: body as Body,
  }));
}

function typed(
  template: Readonly<Record<string, unknown>>,
  kind: 'resource' | 'data',
  address: (type: string, name: string) => string,
): readonly Declared[] {
  return Object.entries(bodies(template[kind])).flatMap(([type, byName]) =>
    Object.entries(bodies(byName)).map(([name, body]): Declared => ({
      address: address(type, name),
      kind,
      type,
      name,
      body: body as Body,
    })),
  );
}

function bodies(value: unknown): Readonly<Record<string, unknown>> {
  return (value ?? {}) as Record<string, unknown>;
}

/** Every block of one name that there may be: one or several, static or dynamic. */
export function blocksOf(body: Body, name: string): readonly Body[] {
  const dynamic = blockList((body.dynamic as Body | undefined)?.[name]).map((one) => one.content);
  return [...blockList(body[name]), ...dynamic.flatMap(blockList)];
}

/** The blocks of one name that are there whatever happens: what a rule requires must be among these. */
export function certainBlocksOf(body: Body, name: string): readonly Body[] {
  return blockList(body[name]);
}

function blockList(value: unknown): readonly Body[] {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]) as readonly Body[];
}

/** A list argument, or nothing. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Every command anywhere in a value that is written as a list of words, its words joined by spaces. */
export function argvsIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  const isArgv = Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string');
  return isArgv ? [value.join(' ')] : Object.values(value).flatMap(argvsIn);
}

/** Every string anywhere in a value, keys included. */
export function stringsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, inner]) => [key, ...stringsIn(inner)]);
  }
  return [];
}
