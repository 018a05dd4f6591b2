import { Token } from 'cdktf';
import { bridgeEnvironment, helperEnvironment, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import type { Choices } from './choices.ts';
import type { ContainerSpec } from './container.ts';
import { networkEnvironment } from './network-environment.ts';
import { idePath } from './ide-choice.ts';
import { harnessKey } from './registration-proof.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/**
 * Keeps the workspace agent's debug, pprof and metrics listeners off the loopback that the sidecar shares: they hand
 * out the agent's manifest to whoever asks.
 *
 * The agent has no switch for them and takes an empty address for port 80 on every interface, so they are given an
 * address that belongs to no machine (RFC 5737) and cannot be bound; the agent logs that and goes on.
 * Source: coder/coder cli/agent.go (ServeHandler).
 */
const closedListeners = Object.fromEntries(
  ['PPROF', 'DEBUG', 'PROMETHEUS'].map((name) => [`CODER_AGENT_${name}_ADDRESS`, '192.0.2.1:1']),
);

/**
 * Keeps Coder's agent from running what lies in the repository: servers of an `.mcp.json`, skills, dev containers.
 *
 * An empty value would mean its default, so each names a place that only the person writes.
 */
const inertAgent = {
  CODER_AGENT_EXP_MCP_CONFIG_FILES: `${paths.home}/.mcp.json`,
  CODER_AGENT_EXP_SKILLS_DIRS: `${paths.home}/.coder/skills`,
  CODER_AGENT_DEVCONTAINERS_ENABLE: 'false',
};

export interface WorkerProps {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly agent: Agent;
  /** HCL expression of the script that starts Coder's agent. */
  readonly startScript: string;
}

/** The person's container: Coder's workspace agent, terminals, the IDE, and the bridge where the admin lets it in. */
export function workerContainer({ context, choices, agent, startScript }: WorkerProps): ContainerSpec {
  return {
    name: names.containers.worker,
    image: interpolation(choices.image),
    command: [paths.enter, 'sh', '-c', interpolation(startScript)],
    environment: {
      ...workspaceEnvironment(context, choices),
      HOME: paths.home,
      [helperEnvironment.ide]: interpolation(choices.ide),
      [helperEnvironment.ideEnabled]: interpolation(choices.ideEnabled),
      [helperEnvironment.idePort]: interpolation('var.ide_port'),
      [helperEnvironment.ideBasePath]: interpolation(idePath(context.owner.fqn, context.workspace.fqn)),
      [helperEnvironment.allowedExtensions]: interpolation('join(",", var.allowed_extensions)'),
      ...closedListeners,
      ...inertAgent,
    },
    secrets: {
      CODER_AGENT_TOKEN: agent.token,
      [bridgeEnvironment.harnessKey]: harnessKey(`${agent.fqn}.token`),
    },
    limits: { cpu: choices.workerCpu, memoryMb: choices.workerMemoryMb },
    requests: {
      cpu: `${choices.ideEnabled} ? 0.45 : 0.25`,
      memoryMb: `${choices.ideEnabled} ? 1024 : 512`,
    },
    mounts: [
      { volume: 'home' },
      { volume: 'workspace' },
      { volume: 'tools', readOnly: true },
      { volume: 'custom-ca', readOnly: true },
      { volume: 'run' },
      { volume: 'nix' },
    ],
    workingDir: paths.workspace,
    ports: { [names.apps.ide]: Token.asNumber(interpolation('var.ide_port')) },
    graceSeconds: 300,
    isRootReadOnly: false,
    hasInit: true,
  };
}

/** What both containers know about the workspace. Nothing here is secret. */
export function workspaceEnvironment(context: WorkspaceContext, choices: Choices): Readonly<Record<string, string>> {
  return {
    [bridgeEnvironment.workspaceDir]: paths.workspace,
    WORKSPACE_PATH: paths.workspace,
    [bridgeEnvironment.toolsDir]: paths.tools,
    OPENCODE_BIN: 'opencode',
    [bridgeEnvironment.nixDir]: interpolation(`${choices.hasNix} ? "${paths.nix}" : ""`),
    WORKSPACE_ID: context.workspace.id,
    USER_ID: context.owner.id,
    GIT_REPO: interpolation(choices.repository),
    GITHUB_REPO: interpolation(choices.repository),
    GIT_REF: interpolation(`coalesce(${choices.ref}, "HEAD")`),
    REPOS_JSON: interpolation(choices.moreRepositories),
    ...networkEnvironment(),
  };
}
