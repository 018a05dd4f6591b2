import { readFileSync } from 'node:fs';
import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { names, paths } from '../contract.ts';
import { interpolation, literal } from '../hcl/expressions.ts';
import { Agent } from '../providers/generated/coder/agent/index.ts';
import type { Choices } from './choices.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Settings that win over a repository's own: the agent writes there, and git would run what it names. */
const inertGit: readonly (readonly [key: string, value: string])[] = [
  ['core.fsmonitor', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['protocol.ext.allow', 'never'],
  ['core.pager', 'less'],
  ['gpg.program', 'gpg'],
  ['credential.helper', ''],
];

/** The same as the environment that git reads such settings from. Source: git-config(1), GIT_CONFIG_COUNT. */
const gitSettings: Readonly<Record<string, string>> = {
  GIT_CONFIG_COUNT: String(inertGit.length),
  ...Object.fromEntries(
    inertGit.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${String(index)}`, key],
      [`GIT_CONFIG_VALUE_${String(index)}`, value],
    ]),
  ),
};

export interface WorkspaceAgentProps {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  /** Architecture of the worker: amd64 or arm64. */
  readonly arch: TerraformVariable;
  /** What a platform shows beside the usual facts: key, name and shell command. */
  readonly facts?: readonly Fact[];
}

export interface Fact {
  readonly key: string;
  readonly displayName: string;
  readonly script: string;
  readonly intervalSeconds: number;
}

/** Written by the worker's program from what the sidecar says, checked and cleaned; reading it runs no git. */
const told = (fact: string): string => `cat "$HOME/.local/state/outrigger/facts/${fact}" 2>/dev/null || echo "-"`;

const usualFacts: readonly Fact[] = [
  { key: '0_cpu_usage', displayName: 'CPU', script: 'coder stat cpu', intervalSeconds: 10 },
  { key: '1_ram_usage', displayName: 'Memory', script: 'coder stat mem', intervalSeconds: 10 },
  { key: '2_agent', displayName: 'Agent', script: told('agent'), intervalSeconds: 10 },
  { key: '3_git', displayName: 'Git', script: told('git'), intervalSeconds: 10 },
  { key: '4_home_disk', displayName: 'Home', script: `coder stat disk --path ${paths.home}`, intervalSeconds: 60 },
  {
    key: '5_workspace_disk',
    displayName: 'Workspace',
    script: `coder stat disk --path ${paths.workspace}`,
    intervalSeconds: 60,
  },
];

/**
 * Coder's workspace agent `main`: terminals, SSH, apps and scripts of the person.
 *
 * `api_key_scope` is `all` where the agent has a container of its own, so that the person's git and SSH keys work; a
 * bridge inside the worker must not reach them. Coder's agent expands `$PATH` in its environment, which is how
 * `/tools` comes first in whatever image.
 */
export function workspaceAgent(scope: Construct, { context, choices, arch, facts = [] }: WorkspaceAgentProps): Agent {
  return new Agent(scope, `agent:${names.workspaceAgent}`, {
    arch: arch.stringValue,
    os: 'linux',
    apiKeyScope: interpolation(`${choices.agentMode} == "process" ? "no_user_data" : "all"`),
    // Not the repository: Coder's agent starts the servers of an `.mcp.json` in its directory, and the sidecar writes there.
    dir: paths.home,
    startupScript: literal(readFileSync(new URL('home.sh', import.meta.url), 'utf8')),
    env: {
      PATH: `${paths.tools}:$PATH`,
      WORKSPACE_DIR: paths.workspace,
      WORKSPACE_FOLDER: interpolation(choices.folder),
      GIT_DEPTH: interpolation(choices.gitDepth),
      GIT_RECURSE_SUBMODULES: interpolation(choices.gitSubmodules),
      GIT_AUTHOR_NAME: context.gitName,
      GIT_AUTHOR_EMAIL: context.owner.email,
      GIT_COMMITTER_NAME: context.gitName,
      GIT_COMMITTER_EMAIL: context.owner.email,
      ...gitSettings,
    },
    metadata: [...usualFacts, ...facts].map(({ key, displayName, script, intervalSeconds }) => ({
      key,
      displayName,
      script,
      interval: intervalSeconds,
      timeout: 5,
    })),
  });
}
