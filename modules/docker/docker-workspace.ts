import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Choices } from '../workspace/choices.ts';
import { volumes, type ContainerSpec, type VolumeName } from '../workspace/container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { declareLabels } from '../workspace/labels.ts';
import { egressWhen } from '../workspace/egress-container.ts';
import { proxiedEnvironment } from '../workspace/egress-variables.ts';
import { hideResource, resourceFacts } from '../workspace/workspace-metadata.ts';
import { dockerContainer, dockerInitContainer, type DockerVolumes } from './docker-container.ts';
import { WorkspaceNetwork } from './workspace-network.ts';
import { WorkspaceVolume } from './workspace-volume.ts';

export interface DockerWorkspaceProps {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly init: ContainerSpec;
  readonly egress: ContainerSpec;
  readonly containers: readonly ContainerSpec[];
}

/** `/run/outrigger` holds a few small files of state. */
const runSizeMib = 4;
/** The tools of two images: while one version is replaced, both are there. Nobody but the init container writes here. */
const toolsSize = '512M';

/** A Coder workspace on a Docker host: its network, its volumes, the init container, and the containers that stay. */
export function dockerWorkspace(
  scope: Construct,
  { context, choices, init, egress, containers }: DockerWorkspaceProps,
): void {
  declareLabels(scope, context);
  const mounted = makeVolumes(scope, context);
  const network = new WorkspaceNetwork(scope, context);
  const first = dockerInitContainer(scope, { context, spec: init, volumes: mounted });
  const door = dockerContainer(scope, {
    ...{ context, spec: egress, volumes: mounted },
    networks: [
      { name: network.network, aliases: [names.containers.egress] },
      { name: interpolation('var.egress_network') },
    ],
    dependsOn: [first],
  });
  for (const one of containers) {
    const spec = { ...one, environment: { ...one.environment, ...proxiedEnvironment } };
    const made = dockerContainer(scope, {
      ...{ context, spec, volumes: mounted },
      networkMode: network.mode,
      dependsOn: [first, door],
    });
    if (spec.name === names.containers.worker) resourceFacts(scope, context, spec.name, made.fqn, facts(choices));
  }
  hideResource(scope, context, names.containers.network, network.owner.fqn);
  hideResource(scope, context, init.name, first.fqn);
  hideResource(scope, context, egress.name, door.fqn).addOverride(
    'count',
    interpolation(`${egressWhen} ? ${context.workspace.fqn}.start_count : 0`),
  );
}

/** What Coder shows of the workspace. */
const facts = (choices: Choices): Readonly<Record<string, string>> => ({
  image: interpolation(choices.image),
  cpu: `\${${choices.workerCpu}} cores`,
  memory: `\${${choices.workerMemoryMb}} MB`,
  disk: interpolation('var.disk_quota ? "${data.coder_parameter.disk[0].value} GB" : "not limited"'),
  runtime: interpolation('var.container_runtime'),
  permission_profile: interpolation(choices.profile),
});

function makeVolumes(scope: Construct, context: WorkspaceContext): DockerVolumes {
  const chosenSize = '${data.coder_parameter.disk[0].value}G';
  const onDisk = (name: VolumeName): WorkspaceVolume =>
    WorkspaceVolume.onDisk(scope, context, name, volumes[name].path);
  const home = onDisk('home');
  home.explain('Kept until the workspace is deleted, whatever a later version of this template says.');
  return {
    home,
    workspace: WorkspaceVolume.withQuota(scope, context, 'workspace', volumes.workspace.path, chosenSize),
    agent: onDisk('agent'),
    tools: WorkspaceVolume.withQuota(scope, context, 'tools', volumes.tools.path, toolsSize),
    'custom-ca': onDisk('custom-ca'),
    nix: onDisk('nix'),
    run: WorkspaceVolume.inMemory(scope, context, 'run', volumes.run.path, runSizeMib),
  };
}
