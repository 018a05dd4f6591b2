import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { bridgeEnvironment, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import { harnessKey } from '../workspace/registration-proof.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import type { AdminVariables } from '../workspace/admin-variables.ts';
import { containerLabels } from '../workspace/labels.ts';
import type { WorkspaceParameters } from '../workspace/parameters.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { hideResource, resourceFacts } from '../workspace/workspace-metadata.ts';
import { hardened, limits } from './hardening.ts';
import { WorkspaceNetwork } from './workspace-network.ts';
import { WorkspaceVolume } from './workspace-volume.ts';

export interface DockerWorkspaceProps {
  readonly context: WorkspaceContext;
  readonly variables: AdminVariables;
  readonly parameters: WorkspaceParameters;
  readonly agent: Agent;
}

/** What a sidecar is given to become part of the workspace. */
export interface WorkspaceParts extends DockerWorkspaceProps {
  readonly scope: Construct;
  readonly network: WorkspaceNetwork;
  readonly volumes: WorkspaceVolumes;
  /** Must have finished before anything that uses `/tools` or a volume starts. */
  readonly init: Container;
}

export interface WorkspaceVolumes {
  readonly home: WorkspaceVolume;
  readonly workspace: WorkspaceVolume;
  readonly agent: WorkspaceVolume;
  readonly tools: WorkspaceVolume;
  readonly run: WorkspaceVolume;
}

/** A container beside the worker. */
export interface Sidecar {
  attach(parts: WorkspaceParts): void;
}

/** `/run/outrigger` holds a few small files of state. */
const runSizeMib = 4;

/**
 * Keeps the workspace agent's debug, pprof and metrics listeners off the loopback that the sidecar shares: they hand
 * out the agent's manifest to whoever asks.
 *
 * The agent has no switch for them and takes an empty address for port 80 on every interface, so they are given an
 * address that belongs to no machine (RFC 5737) and cannot be bound; the agent logs that and goes on.
 * Source: coder/coder cli/agent.go (ServeHandler).
 */
const closedListeners = ['PPROF', 'DEBUG', 'PROMETHEUS'].map((name) => `CODER_AGENT_${name}_ADDRESS=192.0.2.1:1`);

/** A Coder workspace on a Docker host: the worker, its network and its volumes. Sidecars join with `addSidecar`. */
export class DockerWorkspace {
  private readonly parts: WorkspaceParts;

  constructor(scope: Construct, props: DockerWorkspaceProps) {
    const { context, variables } = props;
    const volumes = makeVolumes(scope, context);
    const init = initContainer(scope, props, volumes);
    const network = new WorkspaceNetwork(scope, { context, image: variables.opencodeImage });
    this.parts = { ...props, scope, volumes, init, network };
    this.addWorker();
  }

  addSidecar(sidecar: Sidecar): this {
    sidecar.attach(this.parts);
    return this;
  }

  private addWorker(): void {
    const { scope, context, parameters, agent, network, volumes, init } = this.parts;
    const name = names.containers.worker;
    const memoryMib = Token.asNumber(interpolation(`${parameters.memory.fqn}.value * 1024`));
    const worker = new Container(scope, `container:${name}`, {
      ...hardened,
      ...limits(memoryMib, parameters.cpu.value),
      count: context.startCount,
      name: context.containerName(),
      image: parameters.executorImage.value,
      entrypoint: ['sh', '-c', startAgent(agent)],
      env: [
        `CODER_AGENT_TOKEN=${agent.token}`,
        `${bridgeEnvironment.harnessKey}=${harnessKey(`${agent.fqn}.token`)}`,
        `${bridgeEnvironment.workspaceDir}=${paths.workspace}`,
        `${bridgeEnvironment.toolsDir}=${paths.tools}`,
        `HOME=${paths.home}`,
        'OPENCODE_BIN=opencode',
        ...closedListeners,
      ],
      workingDir: paths.workspace,
      init: true,
      networkMode: network.mode,
      mounts: [volumes.home.mount(), volumes.workspace.mount(), volumes.tools.mountReadOnly(), volumes.run.mount()],
      destroyGraceSeconds: 300,
      stopTimeout: 300,
      labels: containerLabels(context, name),
      dependsOn: [init],
    });
    resourceFacts(scope, context, name, worker.fqn, {
      image: parameters.executorImage.value,
      cpu: `\${${parameters.cpu.fqn}.value} cores`,
      memory: `\${${parameters.memory.fqn}.value} GiB`,
      disk: 'not limited (Docker volumes have no size)',
      permission_profile: parameters.permissionProfile.value,
    });
  }
}

/**
 * Coder's start script. A deployment on this very machine calls itself localhost, which inside a container is the
 * container: the host's name takes its place.
 */
function startAgent(agent: Agent): string {
  return interpolation(
    `replace(${agent.fqn}.init_script, "/localhost|127\\\\.0\\\\.0\\\\.1/", "host.docker.internal")`,
  );
}

function makeVolumes(scope: Construct, context: WorkspaceContext): WorkspaceVolumes {
  return {
    home: WorkspaceVolume.onDisk(scope, context, 'home', paths.home),
    workspace: WorkspaceVolume.onDisk(scope, context, 'workspace', paths.workspace),
    agent: WorkspaceVolume.onDisk(scope, context, 'agent', paths.agent),
    tools: WorkspaceVolume.onDisk(scope, context, 'tools', paths.tools),
    run: WorkspaceVolume.inMemory(scope, context, 'run', paths.run, runSizeMib),
  };
}

/** Fills `/tools` and gives empty volumes their owner, then ends. The build fails when it does. */
function initContainer(scope: Construct, props: DockerWorkspaceProps, volumes: WorkspaceVolumes): Container {
  const { context, variables } = props;
  const name = names.containers.init;
  const init = new Container(scope, `container:${name}`, {
    ...hardened,
    ...limits(256, '1'),
    count: context.startCount,
    name: context.containerName(name),
    image: variables.opencodeImage.stringValue,
    entrypoint: ['/opt/outrigger/init.sh'],
    env: [`${bridgeEnvironment.toolsDir}=${paths.tools}`, `${bridgeEnvironment.workspaceDir}=${paths.workspace}`],
    networkMode: 'none',
    readOnly: true,
    attach: true,
    mustRun: false,
    logs: true,
    mounts: [
      volumes.tools.mountFirst(),
      volumes.home.mountFirst(),
      volumes.workspace.mountFirst(),
      volumes.agent.mountFirst(),
    ],
    labels: containerLabels(context, name),
    lifecycle: {
      postcondition: [
        {
          condition: interpolation('self.exit_code == 0'),
          errorMessage: 'The opencode-init container failed, so /tools is not filled. Its logs say why.',
        },
      ],
    },
  });
  hideResource(scope, context, name, init.fqn);
  return init;
}
