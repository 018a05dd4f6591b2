import { blocksOf, declarations, type Body, type Declared } from './template.ts';

/**
 * What Coder refuses or garbles although no provider notices, even at apply: names that meet, and texts beyond its limits.
 *
 * It reads the synthesized JSON. What is an expression there is known only at a build, and passes.
 *
 * Source  coder/coder codersdk/name.go, provisioner/appslug, coderd/database (limits); coder/terraform-provider-coder
 */
export interface Fault {
  /** As Terraform addresses it. */
  readonly address: string;
  readonly rule: string;
  /** What is wrong, and what to do. */
  readonly message: string;
}

/** Every fault of a template, in the order of its declarations; none in a template that is right. */
export function lintTemplate(template: Readonly<Record<string, unknown>>): readonly Fault[] {
  const all = declarations(template);
  return rules.flatMap(({ id, check }) => check(all).map(([address, message]) => ({ address, rule: id, message })));
}

type Finding = readonly [address: string, message: string];
interface LintRule {
  readonly id: string;
  readonly check: (all: readonly Declared[]) => readonly Finding[];
}

const agentName = /^[a-z0-9](-?[a-z0-9])*$/i;
const appSlug = /^[a-z0-9](-?[a-z0-9])*$/;
const parameterName = /^[a-zA-Z_][a-zA-Z0-9_-]*$/;

/** Coder takes this much metadata of one agent: a value, and all keys together. Source: coderd/workspaceagents.go */
const metadataKeyBytes = 6144;

/** A literal, or undefined where it is an expression or missing. */
const literal = (value: unknown): string | undefined =>
  typeof value === 'string' && !/[$%]\{/.test(value) ? value : undefined;

const ofType = (all: readonly Declared[], type: string): readonly Declared[] => all.filter((one) => one.type === type);

/** A rule about each declaration of one type by itself. */
const each = (id: string, type: string, check: (body: Body, declared: Declared) => string | undefined): LintRule => ({
  id,
  check: (all) =>
    ofType(all, type).flatMap((declared) => {
      const message = check(declared.body, declared);
      return message === undefined ? [] : [[declared.address, message] as const];
    }),
});

/** A rule that no two declarations of one type have the same key. */
const unique = (
  id: string,
  type: string,
  keyOf: (body: Body) => string | undefined,
  message: (key: string, first: string) => string,
): LintRule => ({
  id,
  check(all) {
    const seen = new Map<string, string>();
    return ofType(all, type).flatMap(({ address, body }): readonly Finding[] => {
      const key = keyOf(body);
      const first = key === undefined ? undefined : seen.get(key);
      if (key !== undefined && first === undefined) seen.set(key, address);
      return first === undefined ? [] : [[address, message(key ?? '', first)]];
    });
  },
});

const longest = (id: string, type: string, field: string, most: number): LintRule =>
  each(id, type, (body) => {
    const length = literal(body[field])?.length ?? 0;
    return length <= most
      ? undefined
      : `has a ${field} of ${String(length)} characters, and Coder takes ${String(most)}. Shorten it.`;
  });

const rules: readonly LintRule[] = [
  each('agent-name', 'coder_agent', (_body, { name }) =>
    agentName.test(name)
      ? undefined
      : `names the agent "${name}". Coder takes letters, digits and single hyphens; no underscores.`,
  ),
  each('agent-metadata', 'coder_agent', (body) => {
    const keys = blocksOf(body, 'metadata').flatMap(({ key }) => literal(key) ?? []);
    const twice = keys.find((key, at) => keys.indexOf(key) !== at);
    if (twice !== undefined) return `has the metadata "${twice}" twice. Give each a key of its own.`;
    const bytes = Buffer.byteLength(keys.join(''));
    return bytes <= metadataKeyBytes
      ? undefined
      : `has ${String(bytes)} bytes of metadata keys, and Coder takes ${String(metadataKeyBytes)}. Shorten them.`;
  }),
  each('app-slug', 'coder_app', (body) => {
    const slug = literal(body.slug);
    return slug === undefined || appSlug.test(slug)
      ? undefined
      : `has the slug "${slug}". Coder takes lower-case letters, digits and single hyphens.`;
  }),
  unique(
    'app-slug-unique',
    'coder_app',
    ({ slug, agent_id }) => (literal(slug) === undefined ? undefined : `${literal(slug)} of ${String(agent_id)}`),
    (key, first) => `has the slug of ${first}, and Coder would show one of them (${key}). Give it another slug.`,
  ),
  each('app-url', 'coder_app', (body) => {
    if (body.url === undefined) return undefined;
    // An expression stands for some text, whatever it is: at the beginning for scheme and host, behind a host for a port.
    const url = String(body.url)
      .replace(/^\$\{[^}]*\}/, 'http://x')
      .replace(/^(\w+:\/\/[\w.-]+:)\$\{[^}]*\}/, (_whole, host: string) => `${host}1`)
      .replaceAll(/[$%]\{[^}]*\}/g, 'x');
    return URL.canParse(url) && (body.external === true || /^https?:$/.test(new URL(url).protocol))
      ? undefined
      : `has the URL ${JSON.stringify(body.url)}, which is none. Give http://, a host and a path.`;
  }),
  each('app-command', 'coder_app', (body) =>
    body.command !== undefined && (body.url !== undefined || blocksOf(body, 'healthcheck').length > 0)
      ? 'has a command and a URL or a health check. An app is one or the other: remove one.'
      : undefined,
  ),
  longest('app-display-name', 'coder_app', 'display_name', 64),
  longest('app-group', 'coder_app', 'group', 64),
  longest('app-tooltip', 'coder_app', 'tooltip', 2048),
  each('metadata-keys', 'coder_metadata', (body) => {
    const keys = blocksOf(body, 'item').flatMap(({ key }) => literal(key) ?? []);
    const twice = keys.find((key, at) => keys.indexOf(key) !== at);
    return twice === undefined ? undefined : `has the item "${twice}" twice. Give each a key of its own.`;
  }),
  each('parameter-name', 'coder_parameter', ({ name }) => {
    const text = literal(name);
    return text !== undefined && parameterName.test(text)
      ? undefined
      : `has the name ${JSON.stringify(name)}. Give it letters, digits and underscores, beginning with a letter.`;
  }),
  unique(
    'parameter-name-unique',
    'coder_parameter',
    ({ name }) => literal(name),
    (name, first) => `has the name "${name}" of ${first}, and Coder keeps one value for both. Give it another name.`,
  ),
  { id: 'preset-parameter', check: unknownPresetParameters },
  unique(
    'preset-name-unique',
    'coder_workspace_preset',
    ({ name }) => literal(name),
    (name, first) => `has the name "${name}" of ${first}. Give it another name.`,
  ),
  longest('preset-description', 'coder_workspace_preset', 'description', 128),
  unique(
    'preset-default',
    'coder_workspace_preset',
    ({ default: isDefault }) => (isDefault === true ? 'default' : undefined),
    (_key, first) => `is the default preset, and so is ${first}. Leave it with one of them.`,
  ),
];

/** Coder takes a preset's value for a parameter that does not exist, and ignores it. */
function unknownPresetParameters(all: readonly Declared[]): readonly Finding[] {
  const parameters = ofType(all, 'coder_parameter');
  const byName = new Map(parameters.map(({ body }) => [literal(body.name) ?? '', body]));
  return ofType(all, 'coder_workspace_preset').flatMap(({ address, body }) => {
    const values = typeof body.parameters === 'object' && body.parameters !== null ? body.parameters : {};
    return Object.entries(values).flatMap(([name, value]): readonly Finding[] => {
      const parameter = byName.get(name);
      if (parameter === undefined)
        return [[address, `sets "${name}", and there is no such parameter. It would be ignored: correct the name.`]];
      const options = blocksOf(parameter, 'option').flatMap((one) => literal(one.value) ?? one);
      const isKnown = options.every((one) => typeof one === 'string');
      const given = literal(value);
      return given === undefined || options.length === 0 || !isKnown || options.includes(given)
        ? []
        : [[address, `sets "${name}" to "${given}", which is none of its options. Choose one of them.`]];
    });
  });
}
