import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App } from 'cdktf';
import { printHcl } from '../modules/hcl/print.ts';
import { templateSchemas } from '../modules/hcl/schemas/index.ts';
import { isList, isObject, type Json, type JsonObject } from '../modules/hcl/values.ts';
import { templates, type TemplateEntry } from '../stacks/templates.ts';
import { compareTrees, readTree, replaceTree, type Tree } from './tree.ts';

/** Where rendered templates are committed. */
export const templatesDirectory = fileURLToPath(new URL('../templates', import.meta.url));

/** Files beside `main.tf` that people write; a template may have any of them. */
const handWritten: readonly string[] = ['README.md', '.terraform.lock.hcl'];

/** A number or value that cdktf left as a placeholder would validate, and mean nonsense. */
const leftovers = /TfToken\[|\d\.\d+e[+-]\d{3}/;

/** The synthesized configuration of one template in the order of its stack, without cdktf's notes to its own command. */
export function synthesizeTemplate(entry: TemplateEntry): JsonObject {
  const outdir = mkdtempSync(join(tmpdir(), 'outrigger-synth-'));
  try {
    const app = new App({ outdir });
    const stack = entry.stack(app, entry.name);
    app.synth();
    const text = readFileSync(join(outdir, 'stacks', entry.name, 'cdk.tf.json'), 'utf8');
    if (leftovers.test(text)) throw new Error(`Template ${entry.name} holds an unresolved token of cdktf.`);
    const { '//': _notes, ...configuration } = JSON.parse(text) as Record<string, JsonObject>;
    return inOrder(dynamicLast(configuration) as JsonObject, stack.addresses);
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

/** The same with dynamic blocks behind the ones that are always there; Terraform keeps the order of what it reads. */
function dynamicLast(value: Json): Json {
  if (isList(value)) return value.map(dynamicLast);
  if (!isObject(value)) return value;
  const { dynamic, ...others } = value;
  const all = dynamic === undefined ? others : { ...others, dynamic };
  return Object.fromEntries(Object.entries(all).map(([name, inside]) => [name, dynamicLast(inside)]));
}

/** The same with every section in the order of these addresses: what is said first is read first. */
function inOrder(configuration: JsonObject, addresses: readonly string[]): JsonObject {
  const rank = (address: string): number =>
    addresses.findIndex((one) => one === address || one.startsWith(`${address}.`));
  const sort = (section: Json | undefined, prefix: string): JsonObject =>
    Object.fromEntries(
      Object.entries((section ?? {}) as JsonObject).sort(([one], [other]) => rank(prefix + one) - rank(prefix + other)),
    );
  const sortTyped = (section: Json | undefined, prefix: string): JsonObject =>
    Object.fromEntries(
      Object.entries(sort(section, prefix)).map(([type, byName]) => [type, sort(byName, `${prefix}${type}.`)]),
    );
  return {
    ...configuration,
    variable: sort(configuration.variable, 'var.'),
    locals: sort(configuration.locals, 'local.'),
    data: sortTyped(configuration.data, 'data.'),
    resource: sortTyped(configuration.resource, ''),
  };
}

/** The rendered files of one template. */
export function renderTemplate(entry: TemplateEntry): Tree {
  return new Map([['main.tf', printHcl(synthesizeTemplate(entry), templateSchemas)]]);
}

export interface RenderOptions {
  readonly check?: boolean;
  /** Folder that holds one folder for each template. */
  readonly out?: string;
}

/** Writes the templates of these names, or says where they differ from what is committed; an exit code. */
export function render(names: readonly string[], options: RenderOptions): number {
  const entries = names.length === 0 ? templates : names.map(findTemplate);
  const missing = names.filter((_name, index) => entries[index] === undefined);
  if (missing.length > 0) {
    console.error(
      `There is no template ${missing.join(', ')}. Known: ${templates.map(({ name }) => name).join(', ')}.`,
    );
    return 2;
  }
  const root = resolve(options.out ?? templatesDirectory);
  const chosen = entries.filter((entry) => entry !== undefined);
  const strangers = options.check === true && names.length === 0 ? unknownFolders(root) : [];
  for (const name of strangers) console.error(`extra     ${name}/ is no template of stacks/templates.ts`);
  const results = chosen.map((entry) => renderOne(entry, root, options.check === true));
  const different = results.filter((same) => !same).length + strangers.length;
  if (options.check !== true) {
    console.log(`${chosen.length} ${plural(chosen.length)} rendered into ${root}.`);
    return 0;
  }
  if (different === 0) {
    console.log(`${chosen.length} ${plural(chosen.length)} up to date.`);
    return 0;
  }
  console.error(
    `${different} ${plural(different)} differ. Run \`outrigger template render\`, review the change and commit it.`,
  );
  return 1;
}

/** Writes or compares one template; true when it was as it should be. */
function renderOne(entry: TemplateEntry, root: string, check: boolean): boolean {
  const directory = join(root, entry.name);
  const rendered = renderTemplate(entry);
  const before = readTree(directory);
  const kept = new Map([...before].filter(([path]) => handWritten.includes(path)));
  const wanted: Tree = new Map([...kept, ...rendered]);
  const differences = compareTrees(before, wanted);
  if (!check) replaceTree(directory, wanted);
  for (const { path, kind } of differences) {
    const line = kind === 'modified' ? firstDifference(before.get(path) ?? '', wanted.get(path) ?? '') : '';
    console.error(`${kind.padEnd(9)} ${entry.name}/${path}${line}`);
  }
  if (differences.length === 0) console.log(`same      ${entry.name}/main.tf`);
  return differences.length === 0;
}

function findTemplate(name: string): TemplateEntry | undefined {
  return templates.find((entry) => entry.name === name);
}

function unknownFolders(root: string): readonly string[] {
  const known = new Set(templates.map(({ name }) => name));
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !known.has(entry.name))
    .map((entry) => entry.name);
}

/** Where to look: the first line that differs, as it is and as it would be rendered. */
function firstDifference(before: string, after: string): string {
  const [was, will] = [before.split('\n'), after.split('\n')];
  const index = will.findIndex((line, at) => line !== was[at]);
  const at = index === -1 ? will.length : index;
  return ` at line ${at + 1}\n    - ${was[at] ?? '(end of file)'}\n    + ${will[at] ?? '(end of file)'}`;
}

function plural(count: number): string {
  return count === 1 ? 'template' : 'templates';
}
