import { readFileSync } from 'node:fs';
import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { names, paths } from '../contract.ts';
import { literal } from '../hcl/expressions.ts';
import { Agent } from '../providers/generated/coder/agent/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Settings that win over a repository's own: the agent writes there, and git would run what it names. */
const inertGit: readonly (readonly [key: string, value: string])[] = [
  ['core.fsmonitor', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['protocol.ext.allow', 'never'],
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
  /** Architecture of the worker: amd64 or arm64. */
  readonly arch: TerraformVariable;
}

/**
 * Coder's workspace agent `main`: terminals, SSH, apps and scripts of the person.
 *
 * `api_key_scope` stays `all`, so that the person's git and SSH keys work; the agent's container never sees the token.
 * The agent expands `$PATH` in its environment, which is how `/tools` comes first in whatever image.
 */
export function workspaceAgent(scope: Construct, { context, arch }: WorkspaceAgentProps): Agent {
  return new Agent(scope, `agent:${names.workspaceAgent}`, {
    arch: arch.stringValue,
    os: 'linux',
    apiKeyScope: 'all',
    startupScript: literal(readFileSync(new URL('home.sh', import.meta.url), 'utf8')),
    env: {
      PATH: `${paths.tools}:$PATH`,
      WORKSPACE_DIR: paths.workspace,
      GIT_AUTHOR_NAME: context.gitName,
      GIT_AUTHOR_EMAIL: context.owner.email,
      GIT_COMMITTER_NAME: context.gitName,
      GIT_COMMITTER_EMAIL: context.owner.email,
      ...gitSettings,
    },
    metadata: [
      statistic('0_cpu_usage', 'CPU', 'coder stat cpu', 10),
      statistic('1_ram_usage', 'Memory', 'coder stat mem', 10),
      statistic('3_home_disk', 'Home', `coder stat disk --path ${paths.home}`, 60),
      statistic('4_workspace_disk', 'Workspace', `coder stat disk --path ${paths.workspace}`, 60),
    ],
  });
}

function statistic(key: string, displayName: string, script: string, intervalSeconds: number) {
  return { key, displayName, script, interval: intervalSeconds, timeout: 1 };
}
