import { readFileSync } from 'node:fs';
import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { names, paths } from '../contract.ts';
import { literal } from '../hcl/expressions.ts';
import { Agent } from '../providers/generated/coder/agent/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

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
