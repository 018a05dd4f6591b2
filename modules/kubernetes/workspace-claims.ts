import type { DeploymentV1SpecTemplateSpecVolume } from '@cdktf/provider-kubernetes/lib/deployment-v1/index.js';
import { PersistentVolumeClaimV1 } from '@cdktf/provider-kubernetes/lib/persistent-volume-claim-v1/index.js';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { volumes, type VolumeName } from '../workspace/container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { claimLabels, ownerAnnotations } from './kubernetes-labels.ts';

/** Sizes of what is kept, as HCL expressions of GB. */
const claimSizes: Readonly<Partial<Record<VolumeName, string>>> = {
  home: 'var.home_disk_gb',
  workspace: 'data.coder_parameter.disk.value',
  agent: 'var.home_disk_gb',
};

/** OpenCode alone is about 180 MiB. Where such a volume is memory of a guest, every MiB of it is missing there. */
const emptySizes: Readonly<Partial<Record<VolumeName, Record<string, string>>>> = {
  tools: { sizeLimit: '256Mi' },
  run: { medium: 'Memory', sizeLimit: '4Mi' },
  'custom-ca': { sizeLimit: '1Mi' },
};

const storageClassName = interpolation('var.storage_class == "" ? null : var.storage_class');

/** Where a container whose root filesystem is read-only may write. */
export const temporaryVolume = { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } };

/** The volumes of one pod, and the namespace they live in. */
export interface PodVolumes {
  readonly volumes: readonly DeploymentV1SpecTemplateSpecVolume[];
  /** One of them each, by the HCL expression of when it is there. */
  readonly choices: readonly { readonly when: string; readonly volume: DeploymentV1SpecTemplateSpecVolume }[];
  /** HCL expression. A claim cannot move, so all else of the workspace follows it. */
  readonly namespace: string;
}

/** Makes a claim for each volume that is kept, and says how the pod mounts all of them. */
export function workspaceClaims(scope: Construct, context: WorkspaceContext): PodVolumes {
  const mounted: DeploymentV1SpecTemplateSpecVolume[] = [];
  let namespace = '';
  for (const [name, { isKept }] of Object.entries(volumes) as [VolumeName, { isKept: boolean }][]) {
    if (name === 'nix') continue;
    if (!isKept) {
      mounted.push({ name, emptyDir: emptySizes[name] ?? {} });
      continue;
    }
    const made = claim(scope, context, name);
    const { fqn } = made;
    if (namespace === '')
      explain(made, 'Kept until the workspace is deleted, whatever a later version of this template says.');
    namespace ||= `${fqn}.metadata[0].namespace`;
    mounted.push({ name, persistentVolumeClaim: { claimName: interpolation(`${fqn}.metadata[0].name`) } });
  }
  return { volumes: [...mounted, temporaryVolume], choices: nixVolumes, namespace };
}

/**
 * Nix's store begins anew with each pod, on a disk: in a virtual machine an emptyDir would be the guest's memory.
 *
 * Without Nix nothing is written there, and no disk is made.
 */
const nixVolumes: PodVolumes['choices'] = [
  {
    when: 'local.has_nix',
    volume: {
      name: 'nix',
      ephemeral: {
        volumeClaimTemplate: {
          metadata: { labels: claimLabels('nix') },
          spec: {
            accessModes: ['ReadWriteOnce'],
            storageClassName,
            resources: { requests: { storage: '${var.scratch_disk_gb}Gi' } },
          },
        },
      },
    },
  },
  { when: '!local.has_nix', volume: { name: 'nix', emptyDir: { sizeLimit: '1Mi' } } },
];

/**
 * Kept until the workspace is deleted, whatever changes in the template.
 *
 * Not waited for: many storage classes bind a claim only once a pod uses it.
 */
function claim(scope: Construct, context: WorkspaceContext, name: VolumeName): PersistentVolumeClaimV1 {
  return new PersistentVolumeClaimV1(scope, `claim:${name}`, {
    metadata: {
      name: context.persistentName(name),
      namespace: interpolation('local.namespace'),
      labels: claimLabels(name),
      annotations: ownerAnnotations(context),
    },
    waitUntilBound: false,
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName,
      resources: { requests: { storage: `\${${claimSizes[name] ?? ''}}Gi` } },
    },
    lifecycle: { ignoreChanges: 'all' },
  });
}
