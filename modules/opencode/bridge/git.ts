import type { Environment, ExecCommand, ExecResult } from './runner-protocol.ts';

export interface GitOptions {
  readonly directory: string;
  readonly input?: string;
  /** Author and committer. */
  readonly identity?: { readonly name: string; readonly email: string };
  readonly maxBytes?: number;
  /** @default 120000 */
  readonly timeoutMs?: number;
  /** Another index than the work tree's own. */
  readonly index?: string;
  /** For a push to the bridge's own relay; anything else stays on this disk. @default false */
  readonly mayUseHttp?: boolean;
}

/** Runs git and answers its exit code and output; never throws for a non-zero exit. */
export type Git = (args: readonly string[], options: GitOptions) => Promise<ExecResult>;

const gitTimeoutMs = 120_000;
const maxBytesDefault = 4 * 1024 * 1024;

/**
 * Settings with which nothing that a repository's own config names is ever started.
 *
 * Repository config is hostile input: fsmonitor, hooks, signing programs, credential helpers, external diffs
 * and ssh commands are all names of programs. Filters and merge drivers carry free names: see `neutralised`.
 */
const inert: readonly (readonly [string, string])[] = [
  ['core.fsmonitor', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['core.attributesFile', '/dev/null'],
  ['core.sparseCheckout', 'false'],
  ['core.sshCommand', 'false'],
  ['core.askPass', 'false'],
  ['core.pager', 'cat'],
  ['core.editor', 'false'],
  ['core.alternateRefsCommand', 'true'],
  ['credential.helper', ''],
  ['diff.external', ''],
  ['commit.gpgSign', 'false'],
  ['gpg.program', 'false'],
  ['gpg.ssh.program', 'false'],
  ['gpg.x509.program', 'false'],
  ['protocol.allow', 'never'],
  ['submodule.recurse', 'false'],
  ['diff.ignoreSubmodules', 'all'],
  ['status.submoduleSummary', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['core.quotePath', 'false'],
];

export interface GitParts {
  readonly exec: (command: ExecCommand) => Promise<ExecResult>;
  readonly path: string;
  /** An empty directory that serves as HOME. */
  readonly home: string;
  /** A file with the one setting that git reads from no repository: `safe.directory`. */
  readonly globalConfig: string;
}

export const globalConfigText = '[safe]\n\tdirectory = *\n';

/** Git with an empty environment, in which a repository's config can name no program. */
export function makeGit({ exec, path, home, globalConfig }: GitParts): Git {
  const environment = {
    PATH: path,
    HOME: home,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: globalConfig,
    GIT_ATTR_NOSYSTEM: '1',
    // A replacement would show, and check, another content than the one that is pushed.
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_PAGER: 'cat',
    GIT_EDITOR: 'false',
    GIT_ALLOW_PROTOCOL: 'none',
  };
  const run = (
    settings: readonly (readonly [string, string])[],
    args: readonly string[],
    options: GitOptions,
  ): Promise<ExecResult> =>
    exec({
      argv: ['git', '--no-pager', ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]), ...args],
      environment: {
        ...environment,
        ...identityVariables(options.identity),
        ...(options.index === undefined ? {} : { GIT_INDEX_FILE: options.index }),
        ...(options.mayUseHttp === true ? { GIT_ALLOW_PROTOCOL: 'http' } : {}),
      },
      directory: options.directory,
      timeout_ms: options.timeoutMs ?? gitTimeoutMs,
      max_bytes: options.maxBytes ?? maxBytesDefault,
      ...(options.input === undefined ? {} : { input: options.input }),
    });

  return async (args, options) => {
    const listed = await run(inert, ['config', '--list', '--name-only', '-z'], options);
    return run([...inert, ...neutralised(listed.stdout.split('\0'))], args, options);
  };
}

/** Settings as the environment that git takes them from, before any repository's own. Source: git-config(1), GIT_CONFIG_COUNT. */
export const settingsAsVariables = (settings: readonly (readonly [string, string])[]): Environment => ({
  GIT_CONFIG_COUNT: String(settings.length),
  ...Object.fromEntries(
    settings.flatMap(([name, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, name],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ),
});

/** Answers for every filter and merge driver that a config defines a setting that leaves files as they are. */
export function neutralised(names: readonly string[]): (readonly [string, string])[] {
  const settings = new Map<string, string>();
  for (const name of names) {
    const [, kind, driver] = /^(filter|merge)\.(.+)\.[^.]+$/s.exec(name) ?? [];
    if (kind === 'filter') {
      for (const key of ['clean', 'smudge', 'process']) settings.set(`filter.${driver}.${key}`, '');
      settings.set(`filter.${driver}.required`, 'false');
    }
    // Without its program a custom merge counts as a conflict, which is what we report.
    if (kind === 'merge') settings.set(`merge.${driver}.driver`, 'false');
  }
  return [...settings];
}

/** Author and committer of whatever git commits. */
export const identityVariables = (identity: GitOptions['identity']): Environment =>
  identity
    ? {
        GIT_AUTHOR_NAME: identity.name,
        GIT_AUTHOR_EMAIL: identity.email,
        GIT_COMMITTER_NAME: identity.name,
        GIT_COMMITTER_EMAIL: identity.email,
      }
    : {};
