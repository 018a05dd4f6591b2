import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { allSettings, settings, type Setting } from './config-settings.ts';
import type { FieldError } from './platform/errors.ts';

export interface ConfigSources {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Text of a file, undefined when there is none at that path. */
  readonly readFile: (path: string) => string | undefined;
  readonly homeDir: string;
  /** 0 is root; undefined where the system has no such ids. */
  readonly uid: number | undefined;
  /** What `--config` said. */
  readonly configFile?: string | undefined;
}

export interface Found {
  readonly name: string;
  readonly source: string;
  readonly value: unknown;
}

export interface ConfigFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, unknown>;
}

/** The value of one key: environment before file, the plain form before `…_FILE`. */
export function findValue(
  setting: Setting,
  sources: ConfigSources,
  file: ConfigFile | undefined,
  errors: FieldError[],
): Found | undefined {
  const { key, variable } = setting;
  const places = [
    ...(variable === undefined
      ? []
      : [
          {
            direct: variable,
            byFile: `${variable}_FILE`,
            source: 'the environment',
            get: (name: string) => sources.environment[name],
          },
        ]),
    ...(file
      ? [{ direct: key, byFile: `${key}_file`, source: file.path, get: (name: string) => file.values.get(name) }]
      : []),
  ];
  for (const { direct, byFile, source, get } of places) {
    const value = setting.emptyIsSaid && get(direct) === '' ? '' : orUnset(get(direct));
    const path = setting.isSecret ? orUnset(get(byFile)) : undefined;
    if (value !== undefined && path !== undefined)
      errors.push({ path: direct, message: `and ${byFile} are both set (in ${source}); keep one` });
    if (value !== undefined) return { name: direct, source, value };
    if (path !== undefined) return secretFromFile(byFile, path, sources, errors);
  }
  return undefined;
}

/** Compose files and shells pass an unset variable as an empty one. */
const orUnset = (value: unknown): unknown => (value === '' || value === null ? undefined : value);

function secretFromFile(name: string, path: unknown, sources: ConfigSources, errors: FieldError[]): Found | undefined {
  const content = typeof path === 'string' ? readOrBlame(path, name, sources, errors) : undefined;
  if (content === undefined) {
    if (!errors.some((error) => error.path === name))
      errors.push({ path: name, message: 'names a file that is not there' });
    return undefined;
  }
  return { name, source: String(path), value: content.replace(/\r?\n$/, '') };
}

function readOrBlame(path: string, name: string, sources: ConfigSources, errors: FieldError[]): string | undefined {
  try {
    return sources.readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    errors.push({ path: name, message: `names ${path}, which cannot be read (${code})` });
    return undefined;
  }
}

/** Undefined when there is no such file; any other trouble throws. */
export function readFileIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}

/** The first configuration file that is there. Adds to `errors` what is wrong with it. */
export function readConfigFile(sources: ConfigSources, errors: FieldError[]): ConfigFile | undefined {
  const { environment, homeDir, configFile } = sources;
  const named = [
    ...(configFile ? [{ path: configFile, name: '--config' }] : []),
    ...(environment['OUTRIGGER_CONFIG'] ? [{ path: environment['OUTRIGGER_CONFIG'], name: 'OUTRIGGER_CONFIG' }] : []),
  ][0];
  const usual = [
    resolve('outrigger.yaml'),
    join(environment['XDG_CONFIG_HOME'] || join(homeDir, '.config'), 'outrigger', 'config.yaml'),
    '/etc/outrigger/config.yaml',
  ].map((path) => ({ path, name: path }));
  for (const { path, name } of named ? [named] : usual) {
    const content = readOrBlame(path, name, sources, errors);
    if (content !== undefined) return { path, values: parseFile(path, content, errors) };
    if (named && !errors.some((error) => error.path === name))
      errors.push({ path: name, message: `names ${path}, which is not there` });
  }
  return undefined;
}

function parseFile(path: string, content: string, errors: FieldError[]): ReadonlyMap<string, unknown> {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, prettyErrors: false });
  // The library's own message quotes the line, which may hold a secret.
  for (const { pos, code } of document.errors)
    errors.push({ path, message: `is not valid YAML at line ${lines.linePos(pos[0]).line} (${code})` });
  if (document.errors.length > 0) return new Map();
  const top: unknown = document.toJS();
  if (top !== null && top !== undefined && !isMapping(top)) {
    errors.push({ path, message: 'must hold keys and values' });
    return new Map();
  }
  const leaves = leavesOf(top ?? {});
  const known = new Set(allSettings.flatMap(([, { key, isSecret }]) => (isSecret ? [key, `${key}_file`] : [key])));
  for (const key of leaves.keys())
    if (!known.has(key)) errors.push({ path: key, message: `is not a known key (in ${path})` });
  return leaves;
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Values, although they are mappings. */
const mappings: readonly string[] = [settings.keyring.key, settings.flags.key];

/** `{coder: {url}}` → `coder.url`. */
function leavesOf(mapping: Record<string, unknown>, prefix = ''): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  for (const [word, value] of Object.entries(mapping)) {
    const key = prefix + word;
    if (isMapping(value) && !mappings.includes(key)) for (const leaf of leavesOf(value, `${key}.`)) leaves.set(...leaf);
    else leaves.set(key, value);
  }
  return leaves;
}
