import type { DeploymentV1SpecTemplateSpecContainer } from '@cdktf/provider-kubernetes/lib/deployment-v1/index.js';
import { interpolation } from '../hcl/expressions.ts';
import { volumes, type ContainerSpec } from '../workspace/container.ts';
import { containerSecurity } from './hardening.ts';
import { temporaryVolume } from './workspace-claims.ts';

/** What a container may write outside its volumes before it is evicted. */
const scratch = interpolation('"${var.scratch_disk_gb}Gi"');

/**
 * One container of the pod.
 *
 * There is no process that reaps orphans: Coder's agent does that itself when it is the first one, and the bridge must
 * see its own (`hasInit`). How long a stop may take is said once, for the pod.
 */
export function podContainer(spec: ContainerSpec, secretName: string): DeploymentV1SpecTemplateSpecContainer {
  return {
    name: spec.name,
    image: spec.image,
    imagePullPolicy: 'IfNotPresent',
    command: [...spec.command],
    workingDir: spec.workingDir,
    env: environment(spec, secretName),
    ...(spec.ports === undefined ? {} : { port: ports(spec.ports) }),
    resources: {
      limits: { ...amounts(spec.limits), 'ephemeral-storage': scratch },
      requests: amounts(spec.requests),
    },
    securityContext: containerSecurity(spec.isRootReadOnly),
    volumeMount: [
      ...spec.mounts.map(({ volume, readOnly }) => ({
        name: volume,
        mountPath: volumes[volume].path,
        ...(readOnly === true ? { readOnly } : {}),
      })),
      ...(spec.isRootReadOnly ? [{ name: temporaryVolume.name, mountPath: '/tmp' }] : []),
    ],
  };
}

/** Secrets come last: Kubernetes expands `$(NAME)` of what stands before, and an owner writes some of the values. */
function environment({ environment: plain, secrets }: ContainerSpec, secretName: string) {
  return [
    ...Object.entries(plain).map(([name, value]) => ({ name, value })),
    ...Object.keys(secrets).map((key) => ({
      name: key,
      valueFrom: { secretKeyRef: { name: secretName, key } },
    })),
  ];
}

function ports(byName: Readonly<Record<string, number>>) {
  return Object.entries(byName).map(([name, containerPort]) => ({ name, containerPort, protocol: 'TCP' }));
}

function amounts({ cpu, memoryMb }: { readonly cpu: string; readonly memoryMb: string }): Record<string, string> {
  const isPlain = (hcl: string): boolean => /^[0-9.]+$/.test(hcl);
  return {
    cpu: isPlain(cpu) ? cpu : interpolation(`tostring(${cpu})`),
    memory: isPlain(memoryMb) ? `${memoryMb}Mi` : `\${${memoryMb}}Mi`,
  };
}
