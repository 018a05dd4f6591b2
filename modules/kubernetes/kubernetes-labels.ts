import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';

type Labels = Record<string, string>;

/** What selects the pod of a workspace. Only ids: names change, and a selector cannot. */
export function podSelector(context: WorkspaceContext): Labels {
  return { 'app.kubernetes.io/name': 'coder-workspace', 'com.coder.workspace.id': context.workspace.id };
}

/** Labels of everything in the cluster, as the HCL map `local.labels`: Coder's own, so that orphans can be found, and ours. */
export const labels = interpolation('local.labels') as unknown as Labels;

/** The same and a few more, or others. */
export function labelsAnd(others: Labels): Labels {
  const pairs = Object.entries(others).map(([name, value]) => `${JSON.stringify(name)} = ${JSON.stringify(value)}`);
  return interpolation(`merge(local.labels, { ${pairs.join(', ')} })`) as unknown as Labels;
}

/** Labels of a claim; `volume` is which one. */
export function claimLabels(volume: string): Labels {
  return labelsAnd({ 'app.kubernetes.io/name': 'coder-pvc', [`${names.labelPrefix}volume`]: volume });
}

/** An address is no valid label. */
export function ownerAnnotations(context: WorkspaceContext): Labels {
  return { 'com.coder.user.email': context.owner.email };
}

/** Declares `local.labels`. */
export function declareLabels(scope: Construct, context: WorkspaceContext): void {
  new TerraformLocal(scope, 'local:labels', {
    ...podSelector(context),
    'app.kubernetes.io/instance': `coder-workspace-${context.workspace.id}`,
    'app.kubernetes.io/part-of': 'coder',
    'com.coder.resource': 'true',
    'com.coder.workspace.name': context.workspace.name,
    'com.coder.user.id': context.owner.id,
    'com.coder.user.username': context.owner.name,
    [`${names.labelPrefix}workspace-id`]: context.workspace.id,
  });
}
