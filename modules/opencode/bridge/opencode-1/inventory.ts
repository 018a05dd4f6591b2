import { harnessPartsBounds, type HarnessParts } from '../../../contract.ts';
import type { InventoryPlace } from '../harness.ts';
import { runCommand } from '../runner-exec.ts';
import { directoriesBelow } from '../task-directories.ts';
import { plainEnvironment, writeHarnessFiles } from './files.ts';

/** Both runs together must be shorter than the service waits. */
const runMs = 14_000;
/** `debug skill` prints the text of every skill. */
const printedBytes = 8 * 1024 * 1024;

/**
 * Answers what OpenCode would load, from its own `debug` commands with the configuration that a harness gets.
 *
 * Cost     two short runs of OpenCode, one after the other.
 * Safety   `debug` resolves the configuration and connects to nothing; the repository's own is not read.
 */
export async function inventory(given: InventoryPlace): Promise<HarnessParts> {
  const { program, inherited, path, place, directory, folders, now, spared } = given;
  const directories = directoriesBelow(place);
  writeHarnessFiles({
    directories,
    lease: { model: 'none', profile: 'read-only' },
    workTree: { path: directory, folder: directory },
    modelUrl: 'http://127.0.0.1:1/v1',
    now,
  });
  const environment = plainEnvironment({ inherited, directories, path });
  const print = async (what: string): Promise<unknown> => {
    const argv = [program, 'debug', what];
    const command = { argv, directory, environment, timeout_ms: runMs, max_bytes: printedBytes };
    const { exit, stdout } = await runCommand(command, spared);
    if (exit !== 0)
      throw new Error(`OpenCode did not print its ${what}: ${exit === null ? 'too slow' : `exit ${exit}`}.`);
    return parsed(stdout, what);
  };
  return partsOf(await print('config'), await print('skill'), folders);
}

/** Not the error itself: it repeats a piece of what was printed. */
function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`OpenCode printed a ${what} that is no JSON, or too large.`);
  }
}

/**
 * Takes names and kinds out of what another program said; whatever has another form is left out.
 *
 * Folders  in which repositories and work trees lie.
 */
export function partsOf(config: unknown, skills: unknown, folders: readonly string[]): HarnessParts {
  const { plugin, mcp, lsp } = objectOf(config);
  return {
    plugins: listOf(plugin).flatMap(pluginOf).slice(0, most),
    skills: listOf(skills)
      .map(objectOf)
      .flatMap(({ name, location }) => {
        const plain = plainName(name);
        return plain === null ? [] : [{ name: plain, kind: skillKind(location, folders) }];
      })
      .slice(0, most),
    mcp_servers: named(mcp).flatMap(({ name, type, enabled }) =>
      type === 'local' || type === 'remote' ? [{ name, kind: type, enabled: enabled !== false }] : [],
    ),
    lsp_servers: named(lsp).map(({ name, disabled }) => ({ name, enabled: disabled !== true })),
  };
}

const most = harnessPartsBounds.entries;

function pluginOf(given: unknown): HarnessParts['plugins'] {
  const spec: unknown = Array.isArray(given) ? given[0] : given;
  if (typeof spec !== 'string') return [];
  const isFile = /^(file:|[./~])/.test(spec);
  const name = plainName(isFile ? fileName(spec) : packageName(spec));
  return name === null ? [] : [{ name, kind: isFile ? 'file' : 'package' }];
}

const fileName = (spec: string): string => (spec.split('/').at(-1) ?? '').replace(/\.[cm]?[jt]s$/, '');

/** A package may be named by an address with a password in it. */
const packageName = (spec: string): string => (/^@?[\w.-]+(\/[\w.-]+)?(@[\w.^~-]+)?$/.test(spec) ? spec : 'by address');

const skillKind = (location: unknown, folders: readonly string[]): HarnessParts['skills'][number]['kind'] => {
  if (typeof location !== 'string' || location === '<built-in>') return 'built_in';
  return folders.some((folder) => location.startsWith(`${folder}/`)) ? 'repository' : 'installed';
};

const objectOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const named = (value: unknown): readonly (Readonly<Record<string, unknown>> & { readonly name: string })[] =>
  Object.entries(objectOf(value))
    .flatMap(([key, one]) => {
      const name = plainName(key);
      return name === null ? [] : [{ ...objectOf(one), name }];
    })
    .slice(0, most);

/** Null for what cannot be shown as a name. */
function plainName(given: unknown): string | null {
  if (typeof given !== 'string') return null;
  const plain = given
    .normalize()
    .replace(/[^\p{L}\p{N}@_.^~+/ -]+/gu, '_')
    .slice(0, 100)
    .trim();
  return harnessPartsBounds.name.test(plain) ? plain : null;
}
