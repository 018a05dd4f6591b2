import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { bridgeEnvironment, names, paths } from '../contract.ts';
import type { Sidecar, WorkspaceParts } from '../docker/docker-workspace.ts';
import { hardened, limits } from '../docker/hardening.ts';
import { containerLabels } from '../workspace/labels.ts';
import { harnessKey, registrationProof } from '../workspace/registration-proof.ts';

/** Hard limit of the sidecar's memory. Docker's provider knows no lower, soft one. */
const memoryMib = 4096;

/** Programs are built and run in /tmp, so it may execute; it counts against the memory limit. */
const temporary = 'rw,exec,nosuid,nodev,size=1g,mode=1777';

/** The bridge is run by the OpenCode binary itself, so the executor image needs no Node. */
const startBridge = `export PATH="${paths.tools}:$PATH"; exec ${paths.opencode} ${paths.bridge}`;

/**
 * The agent's own container: bridge and OpenCode, in the same image as the worker.
 *
 * It shares the workspace, the tools, `/run/outrigger` and the network with the worker, but neither the home folder,
 * nor the process namespace, nor Coder's agent token. It has no init process: what an attempt leaves behind must
 * become the bridge's child, so that stopping can be proven.
 */
export class OpenCodeSidecar implements Sidecar {
  attach({ scope, context, variables, parameters, agent, network, volumes, init }: WorkspaceParts): void {
    const name = names.containers.sidecar;
    const ids = {
      workspaceId: `${context.workspace.fqn}.id`,
      ownerId: `${context.owner.fqn}.id`,
      workspaceAgentId: `${agent.fqn}.id`,
    };
    new Container(scope, `container:${name}`, {
      ...hardened,
      ...limits(memoryMib, parameters.cpu.value),
      count: context.startCount,
      name: context.containerName(name),
      image: parameters.executorImage.value,
      entrypoint: ['sh', '-c', startBridge],
      env: [
        'BUN_BE_BUN=1',
        'OPENCODE_BIN=opencode',
        `HOME=${paths.agent}`,
        `${bridgeEnvironment.url}=${variables.outriggerUrl.stringValue}`,
        `${bridgeEnvironment.proof}=${registrationProof(ids)}`,
        `${bridgeEnvironment.workspaceId}=${context.workspace.id}`,
        `${bridgeEnvironment.ownerId}=${context.owner.id}`,
        `${bridgeEnvironment.workspaceAgentId}=${agent.id}`,
        `${bridgeEnvironment.harnessKey}=${harnessKey(`${agent.fqn}.token`)}`,
        `${bridgeEnvironment.slots}=\${var.agent_slots}`,
        `${bridgeEnvironment.workspaceDir}=${paths.workspace}`,
        `${bridgeEnvironment.agentDir}=${paths.agent}`,
        `${bridgeEnvironment.toolsDir}=${paths.tools}`,
      ],
      // Not the workspace: the runtime preloads what a bunfig.toml of its directory names, with the proof in reach.
      workingDir: '/',
      networkMode: network.mode,
      readOnly: true,
      tmpfs: { '/tmp': temporary },
      mounts: [volumes.workspace.mount(), volumes.agent.mount(), volumes.tools.mountReadOnly(), volumes.run.mount()],
      destroyGraceSeconds: 30,
      stopTimeout: 30,
      labels: containerLabels(context, name),
      dependsOn: [init],
    });
  }
}
