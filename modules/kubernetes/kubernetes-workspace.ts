import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Choices } from '../workspace/choices.ts';
import type { ContainerSpec } from '../workspace/container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { hideResource, resourceFacts } from '../workspace/workspace-metadata.ts';
import { declareLabels } from './kubernetes-labels.ts';
import type { PodRuntime } from './pod-runtime.ts';
import { workspaceClaims } from './workspace-claims.ts';
import { workspaceDeployment } from './workspace-deployment.ts';
import { workspaceNamespace } from './workspace-namespace.ts';
import { workspaceNetworkPolicy } from './workspace-network-policy.ts';
import { workspaceSecret } from './workspace-secret.ts';

export interface KubernetesWorkspaceProps {
  readonly context: WorkspaceContext;
  readonly choices: Choices;
  readonly init: ContainerSpec;
  readonly containers: readonly ContainerSpec[];
}

/** A Coder workspace on Kubernetes: its namespace, claims and secret, what it may reach, and its pod. */
export function kubernetesWorkspace(scope: Construct, props: KubernetesWorkspaceProps, runtime: PodRuntime): void {
  const { context, choices, init, containers } = props;
  declareLabels(scope, context);
  workspaceNamespace(scope, context);
  const pod = workspaceClaims(scope, context);
  const secret = workspaceSecret(scope, context, pod.namespace, containers);
  const policy = workspaceNetworkPolicy(scope, context, pod.namespace);
  const deployment = workspaceDeployment(scope, {
    context,
    init,
    containers,
    pod,
    secretName: `${secret.fqn}[0].metadata[0].name`,
    runtimeClass: runtime.runtimeClass,
    buildId: `coder_agent.${names.workspaceAgent}.id`,
    dependsOn: [policy],
  });
  resourceFacts(scope, context, names.containers.worker, deployment.fqn, {
    image: interpolation(choices.image),
    cpu: `\${${choices.workerCpu}} cores`,
    memory: `\${${choices.workerMemoryMb}} MB`,
    disk: '${data.coder_parameter.disk.value} GB',
    isolation: isolation(runtime),
    permission_profile: interpolation(choices.profile),
  });
  hideResource(scope, context, 'secret', secret.fqn);
}

/** What was asked for. What it is in truth only the running workspace can say, and does. */
function isolation({ claim }: PodRuntime): string {
  return claim === undefined
    ? interpolation('var.runtime_class == "" ? "container" : "runtime class ${var.runtime_class}"')
    : 'runtime class ${var.runtime_class}; see "Isolation" for the proof';
}
