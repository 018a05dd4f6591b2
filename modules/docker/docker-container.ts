import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { ContainerSpec, Mount, VolumeName } from '../workspace/container.ts';
import { containerLabels } from '../workspace/labels.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { hardened, limits } from './hardening.ts';
import type { WorkspaceVolume } from './workspace-volume.ts';

/** Programs are built and run in /tmp, so it may execute; it counts against the memory limit. */
const temporary = 'rw,exec,nosuid,nodev,size=1g,mode=1777';

/** A deployment on the Docker host itself is reached by this name. */
export const hostOfDocker = { host: 'host.docker.internal', ip: 'host-gateway' } as const;

/** What stands above each container. */
const comments: Readonly<Record<string, string>> = {
  [names.containers.init]:
    'Fills /tools and gives empty volumes their owner, then ends. It has no network, and the others wait for it.',
  [names.containers.worker]:
    "The person's: Coder's agent, terminals, the editor. Only here are the home folder and the agent's token.",
  [names.containers.egress]:
    'The one door of the workspace, in its network and in one that leads out. It passes on what the list allows, by name.',
  [names.containers.sidecar]:
    "The agent's: bridge and OpenCode in the worker's image and network, without its home, processes and token.",
};

export type DockerVolumes = Readonly<Record<VolumeName, WorkspaceVolume>>;

export interface DockerContainerProps {
  readonly context: WorkspaceContext;
  readonly spec: ContainerSpec;
  readonly volumes: DockerVolumes;
  /** Of another container, or the networks it is in itself. */
  readonly networkMode?: string;
  readonly networks?: readonly { readonly name: string; readonly aliases?: string[] }[];
  readonly dependsOn?: readonly Container[];
}

/** One container of the workspace that stays until the workspace stops. */
export function dockerContainer(scope: Construct, props: DockerContainerProps): Container {
  const { context, spec, volumes, networkMode, networks, dependsOn = [] } = props;
  const isWorker = spec.name === names.containers.worker;
  const made = new Container(scope, `container:${spec.name}`, {
    ...describe(spec),
    count: context.startCount,
    name: context.containerName(isWorker ? undefined : spec.name),
    runtime: interpolation('var.container_runtime'),
    ...(networkMode === undefined ? {} : { networkMode }),
    ...(networks === undefined ? {} : { networksAdvanced: [...networks], host: [hostOfDocker] }),
    mounts: spec.mounts.map((one) => mount(volumes, one)),
    destroyGraceSeconds: spec.graceSeconds,
    stopTimeout: spec.graceSeconds,
    dependsOn: [...dependsOn],
  });
  made.addOverride('dynamic.labels', [containerLabels(context, spec.name)]);
  explain(made, comments[spec.name] ?? spec.name);
  if (spec.when !== undefined) {
    made.addOverride('count', interpolation(`${spec.when} ? ${context.workspace.fqn}.start_count : 0`));
  }
  return made;
}

/** A container that does its work while the workspace is built, and fails the build when it fails. */
export function dockerInitContainer(
  scope: Construct,
  { context, spec, volumes }: Omit<DockerContainerProps, 'networkMode'>,
): Container {
  const made = new Container(scope, `container:${spec.name}`, {
    ...describe(spec),
    count: context.startCount,
    name: context.containerName(spec.name),
    networkMode: 'none',
    attach: true,
    mustRun: false,
    logs: true,
    mounts: spec.mounts.map(({ volume }) => volumes[volume].mountFirst()),
    lifecycle: {
      postcondition: [
        {
          condition: interpolation('self.exit_code == 0'),
          errorMessage: `The ${spec.name} container failed, so /tools is not filled. Its logs say why.`,
        },
      ],
    },
  });
  made.addOverride('dynamic.labels', [containerLabels(context, spec.name)]);
  explain(made, comments[spec.name] ?? spec.name);
  return made;
}

function describe(spec: ContainerSpec) {
  return {
    ...hardened,
    ...limits(Token.asNumber(expressionOrNumber(spec.limits.memoryMb)), expressionOrText(spec.limits.cpu)),
    image: spec.image,
    entrypoint: [...spec.command],
    env: environmentOf(spec),
    workingDir: spec.workingDir,
    ...(spec.hasInit ? { init: true } : {}),
    ...(spec.isRootReadOnly
      ? { readOnly: true, ...(spec.when === undefined ? {} : { tmpfs: { '/tmp': temporary } }) }
      : {}),
  };
}

const isPlain = (hcl: string): boolean => /^[0-9.]+$/.test(hcl);
const expressionOrNumber = (hcl: string): string | number => (isPlain(hcl) ? Number(hcl) : interpolation(hcl));
const expressionOrText = (hcl: string): string => (isPlain(hcl) ? hcl : interpolation(`tostring(${hcl})`));

function environmentOf({ environment, secrets }: ContainerSpec): string[] {
  return Object.entries({ ...environment, ...secrets }).map(([name, value]) => `${name}=${value}`);
}

function mount(volumes: DockerVolumes, { volume, readOnly }: Mount) {
  return readOnly === true ? volumes[volume].mountReadOnly() : volumes[volume].mount();
}
