import { bridgeEnvironment, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { ContainerSpec } from '../workspace/container.ts';
import { onceProven } from '../workspace/runtime-claim.ts';
import { workspaceEnvironment } from '../workspace/worker.ts';
import { bridgeVariables, type BridgeProps } from './bridge-process.ts';

/**
 * The agent's own container: bridge and OpenCode, in the same image as the worker.
 *
 * It shares the workspace, the tools, `/run/outrigger` and the network with the worker, but neither the home folder,
 * nor the process namespace, nor Coder's agent token. It has no init process: what an attempt leaves behind must
 * become the bridge's child, so that stopping can be proven. The bridge is run by the OpenCode binary itself, so the
 * executor image needs no Node.
 */
export function sidecarContainer(props: BridgeProps): ContainerSpec {
  const { context, choices } = props;
  const { environment, secrets } = bridgeVariables(props);
  return {
    name: names.containers.sidecar,
    image: interpolation(choices.image),
    command: [paths.enter, ...onceProven([paths.opencode, paths.bridge], props.claim)],
    environment: {
      BUN_BE_BUN: '1',
      ...workspaceEnvironment(context, choices),
      ...environment,
      HOME: paths.agent,
      [bridgeEnvironment.agentDir]: paths.agent,
    },
    secrets,
    limits: { cpu: choices.agentCpu, memoryMb: choices.agentMemoryMb },
    requests: { cpu: '0.25', memoryMb: '512' },
    mounts: [
      { volume: 'workspace' },
      { volume: 'agent' },
      { volume: 'tools', readOnly: true },
      { volume: 'custom-ca', readOnly: true },
      { volume: 'run' },
      // The person runs what lies there.
      { volume: 'nix', readOnly: true },
    ],
    // Not the workspace: the runtime preloads what a bunfig.toml of its directory names, with the proof in reach.
    workingDir: '/',
    graceSeconds: 30,
    isRootReadOnly: true,
    when: `${choices.agentMode} == "sidecar"`,
    hasInit: false,
  };
}
