import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Declares `local.labels`: what everything of a workspace on a Docker host carries, so that orphans can be found. */
export function declareLabels(scope: Construct, context: WorkspaceContext): void {
  new TerraformLocal(scope, 'local:labels', {
    'coder.owner': context.owner.name,
    'coder.owner_id': context.owner.id,
    'coder.workspace_id': context.workspace.id,
    [`${names.labelPrefix}workspace-id`]: context.workspace.id,
  });
}

/** Labels of a Docker container or network: Coder's own and ours. */
export function containerLabels(context: WorkspaceContext, container: string): DynamicLabels {
  return labelsAnd({
    'coder.workspace_name': `${context.workspace.fqn}.name`,
    [`${names.labelPrefix}container`]: JSON.stringify(container),
  });
}

/** Labels of a Docker volume. A volume outlives a rename, so the name is that of its creation. */
export function volumeLabels(context: WorkspaceContext, part: string): DynamicLabels {
  return labelsAnd({
    'coder.workspace_name_at_creation': `${context.workspace.fqn}.name`,
    [`${names.labelPrefix}volume`]: JSON.stringify(part),
  });
}

/** The blocks that Docker's provider wants, one for each label, made from a map. */
export interface DynamicLabels {
  readonly for_each: string;
  readonly content: Readonly<Record<string, string>>;
}

/** `local.labels` and a few more; values are HCL expressions. */
function labelsAnd(others: Readonly<Record<string, string>>): DynamicLabels {
  const pairs = Object.entries(others).map(([name, hcl]) => `${JSON.stringify(name)} = ${hcl}`);
  return {
    for_each: interpolation(`merge(local.labels, { ${pairs.join(', ')} })`),
    content: { label: '${labels.key}', value: '${labels.value}' },
  };
}
