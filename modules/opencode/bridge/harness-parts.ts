import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { harnessPartsBounds, type HarnessParts } from '../../contract.ts';
import type { HarnessClient } from './harness-client.ts';
import { directoriesBelow, plainEnvironment, writeHarnessFiles } from './harness-config.ts';
import { runCommand } from './runner-exec.ts';
import type { BridgeSettings } from './settings.ts';
import { removeQuietly } from './verify-place.ts';
import { findRepository } from './worktree.ts';

export interface HarnessPartsParts {
  readonly settings: Pick<
    BridgeSettings,
    'agentDir' | 'toolsDir' | 'inherited' | 'workspaceDir' | 'gitRoot' | 'repositoryDir'
  >;
  /** OpenCode's binary. */
  readonly execPath: string;
  readonly now: () => Date;
  /** Pids that no sweep of the bridge may end. */
  readonly runners: Set<number>;
  /** An attempt whose harness can be asked. */
  readonly running: () => Pick<HarnessClient, 'loaded'> | null;
}

/** Both runs together must be shorter than the service waits. */
const runMs = 14_000;
/** `debug skill` prints the text of every skill. */
const printedBytes = 8 * 1024 * 1024;

/**
 * Answers what OpenCode loads in this workspace: from the harness of a running attempt, else from OpenCode's own
 * `debug` commands with the configuration that a harness gets.
 *
 * Cost     without an attempt: two short runs of OpenCode, one after the other; callers at the same time share them.
 * Safety   `debug` resolves the configuration and connects to nothing; the repository's own is not read.
 * Errors   rejects with a sentence for the person.
 */
export function makeHarnessParts(parts: HarnessPartsParts): () => Promise<HarnessParts> {
  let underWay: Promise<HarnessParts> | null = null;
  return () => (underWay ??= look(parts).finally(() => (underWay = null)));
}

async function look(parts: HarnessPartsParts): Promise<HarnessParts> {
  const repository = repositoryOf(parts);
  const { config, skills } = await (parts.running()?.loaded() ?? loadedByItself(parts, repository));
  return partsOf(config, skills, [parts.settings.workspaceDir, ...(repository === null ? [] : [repository])]);
}

async function loadedByItself({ settings, execPath, now, runners }: HarnessPartsParts, repository: string | null) {
  const place = mkdtempSync(join(settings.agentDir, 'parts-'));
  try {
    const directories = directoriesBelow(place);
    const directory = repository ?? join(place, 'empty');
    if (repository === null) mkdirSync(directory);
    writeHarnessFiles({
      directories,
      lease: { model: 'none', profile: 'read-only' },
      workTree: { path: directory, folder: directory },
      modelUrl: 'http://127.0.0.1:1/v1',
      now: now(),
    });
    const path = settings.inherited['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
    const environment = plainEnvironment({
      inherited: settings.inherited,
      directories,
      path: `${settings.toolsDir}:${path}`,
    });
    const print = async (what: string): Promise<unknown> => {
      const argv = [execPath, 'debug', what];
      const command = { argv, directory, environment, timeout_ms: runMs, max_bytes: printedBytes };
      const { exit, stdout } = await runCommand(command, runners);
      if (exit !== 0)
        throw new Error(`OpenCode did not print its ${what}: ${exit === null ? 'too slow' : `exit ${exit}`}.`);
      return parsed(stdout, what);
    };
    return { config: await print('config'), skills: await print('skill') };
  } finally {
    removeQuietly(place);
  }
}

/** Not the error itself: it repeats a piece of what was printed. */
function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`OpenCode printed a ${what} that is no JSON, or too large.`);
  }
}

function repositoryOf({ settings }: HarnessPartsParts): string | null {
  try {
    return findRepository(settings.gitRoot, settings.repositoryDir);
  } catch {
    return null;
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
