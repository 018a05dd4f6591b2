import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lease } from '../../../contract.ts';
import { isPlainFile } from '../context-file.ts';
import { identityVariables, settingsAsVariables } from '../git.ts';
import type { Environment } from '../runner-protocol.ts';
import type { TaskDirectories } from '../task-directories.ts';
import type { WorkTree } from '../worktree.ts';
import { permissionsOf } from './permissions.ts';
import { guardMark, pluginText } from './plugin.ts';
import { pinnedVersion } from './version.ts';

const provider = 'outrigger';

export interface HarnessPlan {
  readonly lease: Pick<Lease, 'model' | 'profile'>;
  readonly directories: TaskDirectories;
  readonly workTree: Pick<WorkTree, 'path' | 'folder'>;
  /** `http://127.0.0.1:<port>/llm/<key>/v1` */
  readonly modelUrl: string;
  readonly now: Date;
}

/** What `opencode.json` says. The key is a word: the relay adds the real one where the agent cannot see it. */
export function harnessConfig({ lease, workTree, modelUrl }: HarnessPlan): Record<string, unknown> {
  const model = `${provider}/${lease.model}`;
  const instructions = [...new Set([workTree.path, workTree.folder])].map((folder) => join(folder, 'AGENTS.md'));
  return {
    $schema: 'https://opencode.ai/config.json',
    model,
    small_model: model,
    enabled_providers: [provider],
    share: 'disabled',
    autoupdate: false,
    instructions: instructions.filter(isPlainFile),
    provider: {
      [provider]: {
        npm: '@ai-sdk/openai-compatible',
        name: 'Outrigger',
        options: { baseURL: modelUrl, apiKey: 'relay' },
        models: { [lease.model]: { tool_call: true, limit: { context: 200_000, output: 16_384 } } },
      },
    },
    permission: permissionsOf[lease.profile],
    mcp: {},
  };
}

/**
 * Makes a task's directories and writes the harness's configuration afresh.
 *
 * The two package files make OpenCode believe that its plugin package is installed; without them it asks the
 * npm registry at every start and hangs where packets are dropped.
 */
export function writeHarnessFiles(plan: HarnessPlan): void {
  const { directories } = plan;
  for (const directory of Object.values(directories)) mkdirSync(directory, { recursive: true, mode: 0o700 });
  // The time of the newest attempt: `forgetOldTasks` goes by it.
  utimesSync(directories.root, plan.now, plan.now);
  const config = configFolder(directories);
  // What an earlier attempt of the task may have planted for this one.
  for (const place of [config, ...['.opencode', '.claude', '.agents'].map((name) => join(directories.home, name))])
    rmSync(place, { recursive: true, force: true });
  mkdirSync(join(config, 'node_modules'), { recursive: true, mode: 0o700 });
  mkdirSync(join(config, 'plugin'), { mode: 0o700 });
  const dependencies = { '@opencode-ai/plugin': pinnedVersion };
  const write = (name: string, value: unknown): void => writeFileSync(join(config, name), `${JSON.stringify(value)}\n`);
  write('package.json', { dependencies });
  write('package-lock.json', { name: 'x', lockfileVersion: 3, packages: { '': { dependencies } } });
  write('opencode.json', harnessConfig(plan));
  write('tui.json', { $schema: 'https://opencode.ai/tui.json' });
  write(catalogue, {});
  const { lease, workTree } = plan;
  const plugin = pluginText({ profile: lease.profile, workTree: workTree.path, folder: workTree.folder });
  writeFileSync(join(config, 'plugin', 'outrigger.js'), plugin);
}

/**
 * OpenCode's list of all models, here without any: ours stands in its configuration. Reading the embedded list is most
 * of what a first prompt costs (two seconds of a processor with 1.18.33).
 */
const catalogue = 'models.json';

const configFolder = ({ config }: TaskDirectories): string => join(config, 'opencode');

/** Whether the plugin of `writeHarnessFiles` runs in the harness. */
export const isGuarded = (directories: TaskDirectories): boolean =>
  existsSync(join(configFolder(directories), guardMark));

export interface EnvironmentPlan {
  readonly inherited: Environment;
  readonly directories: TaskDirectories;
  readonly path: string;
  readonly password: string;
  readonly lease: Lease;
  /** A file that the harness gives to the model beside the repository's own; null: none. */
  readonly context: string | null;
  /** Further settings for the git of tools. */
  readonly gitSettings: readonly (readonly [string, string])[];
}

/** Environment of the harness; its tools inherit it, less what the plugin blanks. */
export function harnessEnvironment(plan: EnvironmentPlan): Environment {
  const { inherited, directories, path, password, lease, context, gitSettings } = plan;
  return {
    ...plainEnvironment({ inherited: { ...inherited, ...lease.environment }, directories, path }),
    OPENCODE_CONFIG: join(configFolder(directories), 'opencode.json'),
    OPENCODE_TUI_CONFIG: join(configFolder(directories), 'tui.json'),
    OPENCODE_CONFIG_CONTENT: JSON.stringify({ instructions: context === null ? [] : [context] }),
    // Above every file, so that what a profile asks for holds whichever file says otherwise.
    OPENCODE_PERMISSION: JSON.stringify(permissionsOf[lease.profile]),
    OPENCODE_DB: join(directories.data, 'opencode', 'opencode.db'),
    OPENCODE_SERVER_USERNAME: 'opencode',
    OPENCODE_SERVER_PASSWORD: password,
    ...identityVariables(lease.identity),
    ...settingsAsVariables([...quietGit, ...gitSettings, noNetwork]),
  };
}

/** Environment of any run of OpenCode: directories of its own, nothing fetched, no plugin or server of the repository. */
export function plainEnvironment(plan: Pick<EnvironmentPlan, 'inherited' | 'directories' | 'path'>): Environment {
  const { inherited, directories, path } = plan;
  const loopback = '127.0.0.1,localhost';
  const noProxy = [inherited['NO_PROXY'] ?? inherited['no_proxy'], loopback].filter(Boolean).join(',');
  return {
    ...inherited,
    PATH: path,
    HOME: directories.home,
    XDG_CONFIG_HOME: directories.config,
    XDG_DATA_HOME: directories.data,
    XDG_STATE_HOME: directories.state,
    XDG_CACHE_HOME: directories.cache,
    TMPDIR: directories.temporary,
    NO_PROXY: noProxy,
    no_proxy: noProxy,
    BUN_BE_BUN: '',
    OPENCODE_DISABLE_MODELS_FETCH: '1',
    OPENCODE_MODELS_PATH: join(configFolder(directories), catalogue),
    OPENCODE_DISABLE_AUTOUPDATE: '1',
    OPENCODE_DISABLE_SHARE: '1',
    OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    OPENCODE_DISABLE_PROJECT_CONFIG: '1',
    OPENCODE_DISABLE_EXTERNAL_SKILLS: '1',
    OPENCODE_DISABLE_CLAUDE_CODE: '1',
    OPENCODE_DISABLE_FFF: '1',
    // Nobody is there to type a password.
    GIT_TERMINAL_PROMPT: '0',
    ...settingsAsVariables([...quietGit, noNetwork]),
  };
}

/**
 * Stands last: the plugin takes it away from tools. OpenCode 1.18.33 clones at the first prompt what a repository names
 * under `references`, whatever its switches say; itself it needs no remote.
 */
const noNetwork = ['protocol.allow', 'never'] as const;

/** The repository may belong to another uid, and its own config may name programs for git to start. */
const quietGit: readonly (readonly [string, string])[] = [
  ['safe.directory', '*'],
  ['core.fsmonitor', 'false'],
  ['core.hooksPath', '/dev/null'],
];
