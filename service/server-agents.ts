import type { Agent } from '../modules/contract.ts';
import { makeAgentCredential, type CredentialParts } from './agents/agent-credential.ts';
import { AgentFailure } from './agents/agent-failure.ts';
import type { CommittedFiles } from './agents/committed-files.ts';
import { makeDockerAgent, type DockerBounds } from './agents/docker/docker-agent.ts';
import { makeEngine } from './agents/docker/engine.ts';
import { readImages } from './agents/docker/images.ts';
import { makeCluster } from './agents/kubernetes/cluster.ts';
import { readKinds } from './agents/kubernetes/kinds.ts';
import { makeKubernetesAgent } from './agents/kubernetes/kubernetes-agent.ts';
import type { Registry } from './agents/registry.ts';
import type { CallBridge } from './bridge/call-bridge.ts';
import type { Config } from './config.ts';
import { ServiceError } from './platform/errors.ts';
import { makeBridgeAgent, type BridgeAgentParts } from './tasks/bridge-agent.ts';
import { makeAgentZero, type AgentZeroParts } from './workflows/agentzero-agent.ts';

export interface AgentsParts extends CredentialParts, Omit<AgentZeroParts, 'cancel' | 'lookEveryMs' | 'queueMax'> {
  readonly config: Config;
  readonly registry: Registry;
  readonly callBridge: CallBridge;
  readonly stopTask: BridgeAgentParts['stop'];
  readonly cancelWorkflow: AgentZeroParts['cancel'];
}

/** How often an agent that waits looks again. */
const lookEveryMs = 2_000;

/** Every agent of the registry, joined to what does its work. */
export function makeAgents(parts: AgentsParts): readonly Agent[] {
  const { config, database, registry } = parts;
  const throughBridge = { database, stop: parts.stopTask, lookEveryMs };
  return [
    makeBridgeAgent(throughBridge, registry.agent('opencode')),
    makeAgentZero(
      { ...parts, queueMax: config.queueMax, cancel: parts.cancelWorkflow, lookEveryMs },
      registry.agent('agentzero'),
    ),
    makeKubernetesAgent({
      kubeconfigOf: makeAgentCredential(parts, 'kubernetes', 'KUBECONFIG'),
      connect: makeCluster,
      bounds: { ...config.kubernetes, kinds: readKinds(config.kubernetes.kinds) },
      files: makeCommittedFiles(parts.callBridge),
      lookEveryMs,
    }),
    makeDockerAgent({
      hostOf: makeAgentCredential(parts, 'docker', 'DOCKER_HOST_CONFIG'),
      connect: makeEngine,
      bounds: dockerBounds(config),
      clock: parts.clock,
      lookEveryMs,
    }),
    makeBridgeAgent(throughBridge, registry.agent('nix')),
  ];
}

const dockerBounds = ({ docker, allowInsecureHttp }: Config): DockerBounds => ({
  ...docker,
  images: readImages(docker.images),
  socket: docker.socket ?? null,
  allowInsecureHttp,
});

/** Reads through the bridge of the task's workspace. */
function makeCommittedFiles(call: CallBridge): CommittedFiles {
  return {
    list: ({ workspaceId, baseCommits: commits }, folder, signal) =>
      asFailure(
        call(workspaceId, 'listCommitted', { commits, folder }, signal).then(({ files }) =>
          files.map(({ path }) => path),
        ),
      ),
    read: ({ workspaceId, baseCommits: commits }, path, signal) =>
      asFailure(call(workspaceId, 'readCommitted', { commits, path }, signal).then(({ text }) => text)),
  };
}

const asFailure = <Value>(answer: Promise<Value>): Promise<Value> =>
  answer.catch((error: unknown) => {
    if (!(error instanceof ServiceError)) throw error;
    const isSilent = error.kind === 'unavailable';
    throw new AgentFailure(isSilent ? 'BridgeLost' : 'ContextError', error.message, isSilent);
  });
