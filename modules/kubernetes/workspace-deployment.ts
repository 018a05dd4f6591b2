import {
  DeploymentV1,
  deploymentV1SpecTemplateSpecContainerToTerraform,
  deploymentV1SpecTemplateSpecVolumeToTerraform,
} from '@cdktf/provider-kubernetes/lib/deployment-v1/index.js';
import type { NetworkPolicyV1 } from '@cdktf/provider-kubernetes/lib/network-policy-v1/index.js';
import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { ContainerSpec } from '../workspace/container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { podSecurity } from './hardening.ts';
import { labels, ownerAnnotations, podSelector } from './kubernetes-labels.ts';
import { podContainer } from './pod-container.ts';
import type { PodVolumes } from './workspace-claims.ts';

export interface WorkspaceDeploymentProps {
  readonly context: WorkspaceContext;
  readonly init: ContainerSpec;
  readonly containers: readonly ContainerSpec[];
  readonly pod: PodVolumes;
  /** HCL expression of the Secret's name. */
  readonly secretName: string;
  /** HCL expression of a RuntimeClass; null is the cluster's own runtime, and "" would be refused. */
  readonly runtimeClass: string;
  /** HCL expression of an id that changes with each build. */
  readonly buildId: string;
  /** What must be in force before the pod runs. */
  readonly dependsOn: readonly NetworkPolicyV1[];
}

const podComment = `One pod, replaced and never doubled. opencode-init fills /tools and ends; worker is the person's, with Coder's agent
and the home folder; opencode is the agent's, in the same image but without home, token or a root it can write.
Not waited for: a refused pod would hold the build for minutes, while Coder shows at once that it does not connect.`;

const onArch = 'merge({ "kubernetes.io/arch" = var.arch }, var.node_selector)';

/**
 * The pod of a workspace: one at a time, made anew by each build and whenever a node loses it.
 *
 * Terraform does not wait for it: a refused pod would hold the build for minutes and end it without the reason, while
 * Coder shows at once that the agent does not connect.
 */
export function workspaceDeployment(scope: Construct, props: WorkspaceDeploymentProps): DeploymentV1 {
  const { context, init, containers, pod } = props;
  const secretName = interpolation(props.secretName);
  const [always, sometimes] = [containers.filter(({ when }) => !when), containers.filter(({ when }) => when)];
  const made = new DeploymentV1(scope, 'deployment:workspace', {
    count: context.startCount,
    dependsOn: [...props.dependsOn],
    waitForRollout: false,
    timeouts: { delete: '10m' },
    metadata: {
      name: context.persistentName(),
      namespace: interpolation(pod.namespace),
      labels,
      annotations: ownerAnnotations(context),
    },
    spec: {
      replicas: '1',
      strategy: { type: 'Recreate' },
      selector: { matchLabels: podSelector(context) },
      template: {
        metadata: {
          labels,
          annotations: {
            ...ownerAnnotations(context),
            'kubectl.kubernetes.io/default-container': names.containers.worker,
            [`${names.labelPrefix}build`]: interpolation(props.buildId),
          },
        },
        spec: {
          hostname: interpolation(`lower(${context.workspace.fqn}.name)`),
          runtimeClassName: interpolation(props.runtimeClass),
          nodeSelector: interpolation(onArch) as unknown as Record<string, string>,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          shareProcessNamespace: false,
          hostNetwork: false,
          hostPid: false,
          hostIpc: false,
          terminationGracePeriodSeconds: Math.max(...containers.map(({ graceSeconds }) => graceSeconds)),
          securityContext: podSecurity,
          initContainer: [podContainer(init, secretName)],
          container: always.map((spec) => podContainer(spec, secretName)),
          volume: [...pod.volumes],
        },
      },
    },
  });
  explain(made, podComment);
  made.addOverride('spec.template.spec.dynamic', {
    container: sometimes.map((spec) => ({
      for_each: interpolation(`${spec.when ?? 'true'} ? [1] : []`),
      content: deploymentV1SpecTemplateSpecContainerToTerraform(podContainer(spec, secretName)) as object,
    })),
    volume: pod.choices.map(({ when, volume }) => ({
      for_each: interpolation(`${when} ? [1] : []`),
      content: deploymentV1SpecTemplateSpecVolumeToTerraform(volume) as object,
    })),
    image_pull_secrets: forEach('var.image_pull_secrets', 'secret', { name: '${secret.value}' }),
    toleration: forEach('var.tolerations', 'one', {
      key: '${one.value.key}',
      operator: '${one.value.operator}',
      value: '${one.value.value}',
      effect: '${one.value.effect}',
    }),
  });
  return made;
}

function forEach(list: string, iterator: string, content: Readonly<Record<string, string>>) {
  return [{ for_each: interpolation(list), iterator, content }];
}
